//! The history on disk: SQLite in the data directory.
