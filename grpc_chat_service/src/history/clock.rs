//! The wall clock.

use std::time::SystemTime;

use crate::model::UnixMillis;

/// Returns the time of the wall clock.
pub(crate) fn now() -> UnixMillis {
    millis(SystemTime::now())
}

/// A time before 1970 is returned as 1970.
fn millis(time: SystemTime) -> UnixMillis {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_counts_as_1970() {
        assert_eq!(millis(SystemTime::UNIX_EPOCH - Duration::from_secs(9)), 0);
        assert_eq!(millis(SystemTime::UNIX_EPOCH + Duration::from_secs(9)), 9_000);
    }
}
