//! The types of the chat, as an application sees them.

mod draft;
mod event;
mod id;
mod room;
mod saved;
mod update;

pub use draft::{Ack, Change, Draft, Durability, Target};
pub use event::{Body, Cursor, Event, Seq};
pub use id::{DeviceId, IntoRoomId, MsgId, RoomId, UserId};
pub use room::{Joined, Page, PageAt, ResetReason, Room, Start, Verdict};
pub(crate) use saved::SavedState;
pub use update::{ConnectionState, Update};
