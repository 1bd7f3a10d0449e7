//! The wall clock.

use std::time::SystemTime;

use crate::model::UnixMillis;

/// Returns the time of the wall clock; a time before 1970 is returned as 1970.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
}
