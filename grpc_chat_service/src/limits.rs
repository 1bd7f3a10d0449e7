//! Limits on what peers may use, in one place, grouped by what they apply to.
//!
//! Every field is a key of the configuration file, and its comment is the comment there.

pub mod conflicts;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// Limits on what peers may use. The defaults are safe for a service that strangers can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// All connections together.
    pub listener: ListenerLimits,
    /// One connection and its calls.
    pub connection: ConnectionLimits,
    /// One session.
    pub session: SessionLimits,
    /// One room.
    pub room: RoomLimits,
    /// What waits for the history.
    pub history: HistoryLimits,
    /// What is stored.
    pub storage: StorageLimits,
    /// How much users and networks may do in the time.
    pub rates: RateLimits,
    /// What all peers together may have the service hold in memory.
    pub memory: MemoryLimits,
}

/// Limits on all connections together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ListenerLimits {
    /// Connections open at once. At the limit, new ones wait in the kernel's accept queue.
    pub connections: usize,

    /// Connections open at once from one network, if `rates.connections-per-network` does not say less, and never more than a
    /// quarter of the descriptors that the process may have. Further ones are closed as soon as they are accepted.
    pub connections_per_address: usize,
}

/// Limits on one connection and its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConnectionLimits {
    /// How long a new connection has to send the HTTP/2 preface.
    #[serde(with = "units::duration")]
    pub handshake: Duration,

    /// Calls open at once on one connection; the client library queues further ones itself.
    pub streams: u32,

    /// Bytes of one encoded message: 64 KiB of text, plus the name and the field headers.
    #[serde(with = "units::size")]
    pub message_bytes: usize,

    /// The HTTP/2 flow-control window of one stream, in bytes: what a peer may send ahead of our reading it. Small,
    /// because the smallest messages occupy fifty times their size in memory until they are read.
    #[serde(with = "units::size")]
    pub stream_window_bytes: u32,

    /// Response bytes buffered for one call whose caller does not read. hyper's default is 400 KiB.
    #[serde(with = "units::size")]
    pub send_buffer_bytes: usize,

    /// Bytes of one request's header block.
    #[serde(with = "units::size")]
    pub header_bytes: u32,

    /// Unary calls carried out at once on one connection. Further ones wait.
    pub unary_calls: usize,

    /// How long the caller of a unary call may take nothing of the response before the call is reset.
    #[serde(with = "units::duration")]
    pub stall: Duration,

    /// How long a connection may have no calls before it is closed, in order.
    #[serde(with = "units::duration")]
    pub idle: Duration,

    /// How many stream resets a peer may provoke from *us* before the connection is closed (CVE-2025-8671,
    /// "MadeYouReset"). tonic's own server disables this limit; a much lower one would hit honest peers whose calls
    /// fail.
    pub local_resets: usize,

    /// How long a connection may be silent before it is sent an HTTP/2 PING.
    #[serde(with = "units::duration")]
    pub ping_after: Duration,

    /// How long the acknowledgement of that PING may take before the connection is closed.
    #[serde(with = "units::duration")]
    pub ping_timeout: Duration,
}

/// Limits on one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SessionLimits {
    /// How long a session has to send Hello.
    #[serde(with = "units::duration")]
    pub hello: Duration,

    /// How long a client may be silent before the session sends it a Ping frame. After two and a half times as long
    /// the client is considered gone. Proxies close streams that are silent for a minute and do not forward HTTP/2
    /// PINGs.
    #[serde(with = "units::duration")]
    pub heartbeat: Duration,

    /// The age at which a session is told to reconnect.
    #[serde(with = "units::duration")]
    pub age: Duration,

    /// Rooms joined at once.
    pub rooms: usize,

    /// Sends, edits, deletes, reactions, joins and read marks that have not been answered yet.
    pub in_flight: usize,

    /// Bytes of one message's text.
    #[serde(with = "units::size")]
    pub text_bytes: usize,

    /// Bytes of replies queued for a client that does not read them. Beyond it the session ends: events can be read
    /// again from the history, replies cannot, and a client that keeps asking without reading is broken.
    #[serde(with = "units::size")]
    pub unread_reply_bytes: usize,
}

/// Limits on one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RoomLimits {
    /// Bytes of the newest events kept in memory for the room's readers. A reader further behind reads the history.
    #[serde(with = "units::size")]
    pub tail_bytes: usize,

    /// Bytes of the texts on a page of messages. With the names and numbers around them a page is about twice as large.
    #[serde(with = "units::size")]
    pub page_bytes: usize,
}

/// Limits on what waits to be stored. A request counts as its text and 256 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HistoryLimits {
    /// Bytes that wait, of all accounts together. Further requests are refused. Some 36,000 short messages, which a disk that
    /// stores 50,000 a second writes in less than a second: whoever is accepted does not wait for longer.
    #[serde(with = "units::size")]
    pub queue_bytes: usize,

    /// Bytes that wait, of one account. Enough for as many short messages as a session may have in flight.
    #[serde(with = "units::size")]
    pub queue_bytes_per_account: usize,
}

/// Limits on what is stored. Where there is no room, new messages, edits and reactions are refused; deletes, read marks and
/// everything that reads go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StorageLimits {
    /// The share of the disk, in percent, that has to be free, if that is less than `free-floor-bytes`. 0: the disk may be
    /// filled, and then commits fail.
    pub free_floor_percent: u32,

    /// Bytes that are enough to be free, however large the disk is: several times what SQLite's log may grow to.
    #[serde(with = "units::size")]
    pub free_floor_bytes: u64,

    /// Bytes that a history in memory may have, each event counted as its text and 512 bytes. Half of the 512 MiB that the
    /// whole service is meant to get by with.
    #[serde(with = "units::size")]
    pub memory_bytes: usize,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self { connections: 16_384, connections_per_address: 4_096 }
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            streams: 128,
            message_bytes: 65 * 1024,
            stream_window_bytes: 16 * 1024,
            send_buffer_bytes: 64 * 1024,
            header_bytes: 16 * 1024,
            unary_calls: 4,
            stall: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            local_resets: 1024,
            ping_after: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            heartbeat: Duration::from_secs(10),
            age: Duration::from_secs(24 * 60 * 60),
            rooms: 256,
            in_flight: 1024,
            text_bytes: 8 * 1024,
            unread_reply_bytes: 256 * 1024,
        }
    }
}

impl Default for RoomLimits {
    fn default() -> Self {
        Self { tail_bytes: 1024 * 1024, page_bytes: 256 * 1024 }
    }
}

/// What all peers together may have the service hold in memory, besides what each connection and session may by itself. The sum
/// of these, of `history.queue-bytes`, and of what the connections of a network may hold, is below 512 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MemoryLimits {
    /// Bytes of pages of messages and rooms that are being read, or that their callers have not read yet. Beyond it, and beyond
    /// an eighth of it for one network, further pages are refused.
    #[serde(with = "units::size")]
    pub page_bytes: usize,

    /// Bytes of the tails of all rooms. Beyond it those that have been used least lately are emptied, and their readers read
    /// the history.
    #[serde(with = "units::size")]
    pub tail_bytes: usize,

    /// Bytes of replies that sessions have not read, of those with more than 16 KiB. Beyond it such a session ends.
    #[serde(with = "units::size")]
    pub reply_bytes: usize,

    /// Bytes that were received for calls and are not read at present, with the responses that callers of the example do not
    /// read. Beyond it such a call is reset, or its session ends.
    #[serde(with = "units::size")]
    pub request_bytes: usize,
}

/// How much users and networks may do in the time. After a pause, a burst is accepted at once. A network is an IPv4 address, or the
/// 64 bits of an IPv6 address within which a machine chooses its own. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RateLimits {
    /// Sends, edits, deletes, reactions and read marks of a user, per second. More than people and most bots need.
    pub changes_per_second: u32,

    /// Of these, how many at once. A program that copies a few hundred lines into a room is no attacker.
    pub change_burst: u32,

    /// Bytes of the texts of a user's changes, per second.
    #[serde(with = "units::size")]
    pub bytes_per_second: u32,

    /// Of these, how many at once: a burst of changes, of the longest text half of them.
    #[serde(with = "units::size")]
    pub burst_bytes: u32,

    /// Joins of a user, per second.
    pub joins_per_second: u32,

    /// Of these, how many at once. A client joins all of its rooms again when it reconnects, twice if it is unlucky.
    pub join_burst: u32,

    /// Pages of messages and rooms that a user reads, per second.
    pub pages_per_second: u32,

    /// Of these, how many at once. Enough to read a history of 100,000 messages.
    pub page_burst: u32,

    /// Announcements that a user is typing, per second. Clients send one every few seconds, in one room at a time.
    pub typing_per_second: u32,

    /// Of these, how many at once.
    pub typing_burst: u32,

    /// Rooms that come into being by a user's message, per hour.
    pub new_rooms_per_hour: u32,

    /// Of these, how many at once.
    pub new_room_burst: u32,

    /// Sessions that a user opens, per second.
    pub hellos_per_second: u32,

    /// Of these, how many at once. All of a network's users reconnect at the same time when the service restarts.
    pub hello_burst: u32,

    /// Sessions of a user at once: a few devices, bots, and connections that are lost and not noticed yet.
    pub sessions: usize,

    /// Sessions of a network at once: one for each of its connections.
    pub sessions_per_network: usize,

    /// Connections that a network opens, per second.
    pub connections_per_second: u32,

    /// Of these, how many at once.
    pub connection_burst: u32,

    /// Connections of a network at once.
    pub connections_per_network: usize,

    /// How many times as much as one user all users of a network may do together, and callers that are not users. Raise it where
    /// all come from one address, such as a proxy's.
    pub network_share: u32,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { queue_bytes: 16 * 1024 * 1024, queue_bytes_per_account: 1024 * 1024 }
    }
}

impl Default for StorageLimits {
    fn default() -> Self {
        Self { free_floor_percent: 5, free_floor_bytes: 1024 * 1024 * 1024, memory_bytes: 256 * 1024 * 1024 }
    }
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            page_bytes: 64 * 1024 * 1024,
            tail_bytes: 64 * 1024 * 1024,
            reply_bytes: 64 * 1024 * 1024,
            request_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            changes_per_second: 50,
            change_burst: 500,
            bytes_per_second: 512 * 1024,
            burst_bytes: 2 * 1024 * 1024,
            joins_per_second: 20,
            join_burst: 512,
            pages_per_second: 20,
            page_burst: 100,
            typing_per_second: 1,
            typing_burst: 5,
            new_rooms_per_hour: 30,
            new_room_burst: 100,
            hellos_per_second: 2,
            hello_burst: 32,
            sessions: 16,
            sessions_per_network: 256,
            connections_per_second: 50,
            connection_burst: 256,
            connections_per_network: 256,
            network_share: 8,
        }
    }
}

impl RateLimits {
    /// No limits.
    #[must_use]
    pub fn none() -> Self {
        Self {
            changes_per_second: 0,
            change_burst: 0,
            bytes_per_second: 0,
            burst_bytes: 0,
            joins_per_second: 0,
            join_burst: 0,
            pages_per_second: 0,
            page_burst: 0,
            typing_per_second: 0,
            typing_burst: 0,
            new_rooms_per_hour: 0,
            new_room_burst: 0,
            hellos_per_second: 0,
            hello_burst: 0,
            sessions: 0,
            sessions_per_network: 0,
            connections_per_second: 0,
            connection_burst: 0,
            connections_per_network: 0,
            network_share: 8,
        }
    }
}

impl ConnectionLimits {
    /// The HTTP/2 flow-control window of a whole connection, in bytes.
    ///
    /// It never holds a peer back, because the windows of the streams are exhausted first: a caller that does not read
    /// its responses cannot block the others. What it does set is h2's budget for unread small frames, which is half of
    /// this window and is charged 256 bytes minus the frame's length for each frame. When the budget is exhausted h2
    /// closes the connection, so it has to suffice for every stream to fill its window with the smallest messages there
    /// are: five bytes, one frame each. With less, a connection with several busy calls is closed although each of its
    /// callers respects its window.
    pub(crate) fn window_bytes(&self) -> u32 {
        const SMALLEST_FRAME: u64 = 5;
        const CHARGED_UP_TO: u64 = 256;
        let frames = u64::from(self.stream_window_bytes).div_ceil(SMALLEST_FRAME);
        let budget = u64::from(self.streams) * frames * (CHARGED_UP_TO - SMALLEST_FRAME);
        let largest = (1 << 31) - 1; // RFC 9113, section 6.9.1
        u32::try_from(budget.saturating_mul(2).min(largest)).unwrap_or(u32::MAX >> 1)
    }
}
