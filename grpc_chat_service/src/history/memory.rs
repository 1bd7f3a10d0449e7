//! A history in memory: for tests and for `--memory`. Gone when the process ends.
