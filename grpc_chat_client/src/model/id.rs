//! Ids: of rooms, users, devices and drafts.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use uuid::{NoContext, Timestamp, Uuid};

use crate::error::ParseError;

/// Defines an id: checked text that is cheap to clone.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = ParseError;

            fn try_from(text: &str) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl TryFrom<&String> for $name {
            type Error = ParseError;

            fn try_from(text: &String) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseError;

            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl From<&$name> for $name {
            fn from(id: &$name) -> Self {
                id.clone()
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                *self.0 == *other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                *self.0 == **other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A room's id: 1 to 64 of `A-Z a-z 0-9 . _ - /`, with `/` neither at the ends nor doubled (`chat.v1`, "Limits").
    ///
    /// Every method of [`Client`](crate::Client) that takes a room takes text, too, and checks it; a program that uses a
    /// room often checks it once.
    ///
    /// ```
    /// use grpc_chat_client::RoomId;
    ///
    /// let room: RoomId = "team/general".parse()?;
    /// assert_eq!(room, "team/general");
    /// assert!("no spaces".parse::<RoomId>().is_err());
    /// # Ok::<(), grpc_chat_client::ParseError>(())
    /// ```
    RoomId, check_room
}

id! {
    /// A user's id: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    ///
    /// ```
    /// use grpc_chat_client::UserId;
    ///
    /// let user: UserId = "sam".parse()?;
    /// assert_eq!(user.as_str(), "sam");
    /// # Ok::<(), grpc_chat_client::ParseError>(())
    /// ```
    UserId, check_user
}

id! {
    /// The id of one of a user's devices. The same rules as for [`UserId`] hold.
    DeviceId, check_device
}

/// A room's id, or text that is checked when it is used as one.
///
/// It is implemented for [`RoomId`], `&RoomId`, `&str`, `String` and `&String`.
pub trait IntoRoomId {
    /// Returns the id.
    ///
    /// # Errors
    ///
    /// [`ParseError`] if the text is no room's id.
    fn into_room_id(self) -> Result<RoomId, ParseError>;
}

impl<T: TryInto<RoomId, Error: Into<ParseError>>> IntoRoomId for T {
    fn into_room_id(self) -> Result<RoomId, ParseError> {
        self.try_into().map_err(Into::into)
    }
}

impl From<Infallible> for ParseError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn check_room(room: &str) -> Result<(), ParseError> {
    if room.split('/').any(str::is_empty) {
        return Err(ParseError("a room's id must not be empty, begin or end with /, or contain //"));
    }
    let allowed = |byte| is_id_byte(byte) || byte == b'/';
    check(room, allowed, "a room's id may contain only ASCII letters, digits, '.', '_', '-' and '/'")
}

fn check_user(user: &str) -> Result<(), ParseError> {
    if user.is_empty() {
        return Err(ParseError("a user's id must not be empty"));
    }
    check(user, is_id_byte, "a user's id may contain only ASCII letters, digits, '.', '_' and '-'")
}

fn check_device(device: &str) -> Result<(), ParseError> {
    if device.is_empty() {
        return Err(ParseError("a device's id must not be empty"));
    }
    check(device, is_id_byte, "a device's id may contain only ASCII letters, digits, '.', '_' and '-'")
}

fn check(id: &str, allowed: fn(u8) -> bool, otherwise: &'static str) -> Result<(), ParseError> {
    if id.len() > 64 {
        return Err(ParseError("an id has at most 64 characters"));
    }
    if !id.bytes().all(allowed) {
        return Err(ParseError(otherwise));
    }
    Ok(())
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// The id of a draft, the same for every attempt to send it: the service stores what is sent under one id once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MsgId(pub [u8; 16]);

impl MsgId {
    /// Stands in an event for an id that is none.
    pub(crate) const UNKNOWN: Self = Self([0; 16]);

    /// Returns a new id, a UUIDv7.
    #[must_use]
    pub fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// A clock before 1970, for which there is no UUIDv7, counts as 1970.
    fn at(now: SystemTime) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time = Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos());
        Self(Uuid::new_v7(time).into_bytes())
    }

    /// Returns the id, if it is one.
    pub(crate) fn known(self) -> Option<Self> {
        (self != Self::UNKNOWN).then_some(self)
    }
}

impl FromStr for MsgId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let id = Uuid::try_parse(text).map_err(|_| ParseError("a message's id must be a UUID"))?;
        Ok(Self(id.into_bytes()))
    }
}

impl Default for MsgId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn there_are_ids_whatever_the_clock_says() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        for time in [before, SystemTime::UNIX_EPOCH, SystemTime::now()] {
            assert_ne!(MsgId::at(time), MsgId::at(time));
            assert!(MsgId::at(time).known().is_some());
        }
        assert!(MsgId::at(before) < MsgId::new());
    }

    #[test]
    fn ids_follow_the_rules_of_the_service() {
        for room in ["general", "a/b/c", "A.b_c-9", &"x".repeat(64)] {
            room.parse::<RoomId>().unwrap();
        }
        for room in ["", "/", "/a", "a/", "a//b", "a b", "ä", &"x".repeat(65), "a\u{1b}"] {
            room.parse::<RoomId>().unwrap_err();
        }
        "sam".parse::<UserId>().unwrap();
        "laptop".parse::<DeviceId>().unwrap();
        for user in ["", "a/b", "sam smith", &"x".repeat(65)] {
            user.parse::<UserId>().unwrap_err();
            user.parse::<DeviceId>().unwrap_err();
        }
    }

    #[test]
    fn a_room_can_be_named_by_text_or_by_its_id() {
        let room: RoomId = "general".parse().unwrap();
        for named in ["general".into_room_id(), "general".to_owned().into_room_id(), (&room).into_room_id()] {
            assert_eq!(named, Ok(room.clone()));
        }
        "no room".into_room_id().unwrap_err();
    }
}
