//! What an earlier run of the program left in the state file.

use std::collections::HashMap;

use super::draft::Draft;
use super::event::Cursor;
use super::id::RoomId;

/// The contents of a state file.
#[derive(Debug, Default)]
pub(crate) struct SavedState {
    /// The user the file belongs to, if that is known.
    pub(crate) owner: Option<String>,
    /// Whether this client's user is known to be the owner, whatever the service says.
    pub(crate) confirmed: bool,
    /// Drafts without an ack, oldest first.
    pub(crate) drafts: Vec<Draft>,
    /// The last event that the application has seen in each room.
    pub(crate) cursors: HashMap<RoomId, Cursor>,
}
