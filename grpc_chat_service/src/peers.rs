//! What nodes that serve the same rooms tell each other and nobody stores: who is present, and who is typing.
//!
//! Signals are delivered at most once, and those of one node in the order in which it sent them. A node notices that it has
//! missed one, and asks for the whole state.

pub(crate) mod local;

use std::fmt;

use tokio::sync::mpsc;

use crate::model::{RoomId, UserId};

/// Identifies a running node. A node that restarts has a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) u64);

/// Something that one node tells all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The node is running. Sent also when there is nothing else to say.
    Alive,
    /// Asks every node that has the room open for its [`Signal::Present`].
    Ask { room: RoomId },
    /// All users who are present in the room through this node. `version` identifies this state.
    Present { room: RoomId, version: u64, users: Vec<UserId> },
    /// How the users who are present through this node have changed since `version - 1`.
    Changed { room: RoomId, version: u64, came: Vec<UserId>, left: Vec<UserId> },
    /// A user is typing.
    Typing { room: RoomId, user: UserId },
}

/// The connection of one node to the others.
pub(crate) trait Peers: Send + Sync + fmt::Debug {
    /// Sends a signal to all other nodes.
    fn send(&self, signal: Signal);

    /// Returns the signals of the other nodes. To be called once.
    fn receive(&self) -> mpsc::Receiver<(NodeId, Signal)>;
}
