// Written by `cargo xtask gen`. Do not edit.

/// A frame from the client.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ClientFrame {
    /// Chosen by the client, strictly increasing in a stream. 0: none, and replies cannot be told apart by it.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The request. The reply to a body that the server does not know is an Error with UNIMPLEMENTED.
    #[prost(
        oneof = "client_frame::Body",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13"
    )]
    pub body: ::core::option::Option<client_frame::Body>,
}
/// Nested message and enum types in `ClientFrame`.
pub mod client_frame {
    /// The request. The reply to a body that the server does not know is an Error with UNIMPLEMENTED.
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Body {
        /// Opens the session: the first frame, sent once.
        #[prost(message, tag = "2")]
        Hello(super::Hello),
        /// Starts receiving a room. The reply is Joined.
        #[prost(message, tag = "3")]
        Join(super::Join),
        /// Stops receiving a room. The reply is Done.
        #[prost(message, tag = "4")]
        Leave(super::Leave),
        /// Posts a message. The reply is Ack.
        #[prost(message, tag = "5")]
        Send(super::Send),
        /// Replaces the text of one of the user's own messages. The reply is Ack.
        #[prost(message, tag = "6")]
        Edit(super::Edit),
        /// Erases one of the user's own messages. The reply is Ack.
        #[prost(message, tag = "7")]
        Delete(super::Delete),
        /// Adds or removes a reaction to a message. The reply is Ack.
        #[prost(message, tag = "8")]
        React(super::React),
        /// Stores how far the user has read. The reply is Done.
        #[prost(message, tag = "9")]
        MarkRead(super::MarkRead),
        /// Shows the user as typing. Never stored. The reply is Done; without an id there is none, not even an Error.
        #[prost(message, tag = "10")]
        Typing(super::Typing),
        /// Asks for a sign of life. The reply is Pong.
        #[prost(message, tag = "11")]
        Ping(super::Ping),
        /// Replies to the server's Ping.
        #[prost(message, tag = "12")]
        Pong(super::Pong),
        /// Presents a new bearer token without reconnecting. The reply is Done.
        #[prost(message, tag = "13")]
        RefreshToken(super::RefreshToken),
    }
}
/// A frame from the server.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ServerFrame {
    /// The id of the client frame this replies to, or 0.
    #[prost(uint64, tag = "1")]
    pub reply_to: u64,
    /// The content. A client ignores a body that it does not know.
    #[prost(
        oneof = "server_frame::Body",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14"
    )]
    pub body: ::core::option::Option<server_frame::Body>,
}
/// Nested message and enum types in `ServerFrame`.
pub mod server_frame {
    /// The content. A client ignores a body that it does not know.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Body {
        /// The session is open: the reply to Hello.
        #[prost(message, tag = "2")]
        Welcome(super::Welcome),
        /// The draft is stored.
        #[prost(message, tag = "3")]
        Ack(super::Ack),
        /// A frame could not be carried out.
        #[prost(message, tag = "4")]
        Error(super::Error),
        /// An event of a room's history.
        #[prost(message, tag = "5")]
        Event(super::Event),
        /// The room is joined: the reply to Join.
        #[prost(message, tag = "6")]
        Joined(super::Joined),
        /// All missed events of a room have been sent; from here on they are live.
        #[prost(message, tag = "7")]
        CaughtUp(super::CaughtUp),
        /// Users have entered or left a room, or how many are there has changed. Not stored; changes are coalesced.
        #[prost(message, tag = "8")]
        PresenceChanged(super::PresenceChanged),
        /// The users who are typing have changed. Not stored; changes are coalesced.
        #[prost(message, tag = "9")]
        TypingChanged(super::TypingChanged),
        /// The user has read further on another of their sessions. Changes are coalesced.
        #[prost(message, tag = "10")]
        ReadChanged(super::ReadChanged),
        /// The server, or this session, is about to end.
        #[prost(message, tag = "11")]
        Draining(super::Draining),
        /// Asks for a sign of life: Pong, or any other frame.
        #[prost(message, tag = "12")]
        Ping(super::Ping),
        /// Replies to the client's Ping.
        #[prost(message, tag = "13")]
        Pong(super::Pong),
        /// The frame was carried out; there is no result.
        #[prost(message, tag = "14")]
        Done(super::Done),
    }
}
/// Opens the session. It has to arrive within 10 seconds.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Hello {
    /// The name of the client program, for the server's log. At most 64 bytes.
    #[prost(string, tag = "1")]
    pub client_name: ::prost::alloc::string::String,
    /// Its version. At most 64 bytes.
    #[prost(string, tag = "2")]
    pub client_version: ::prost::alloc::string::String,
    /// The user's id, if the server does not authenticate.
    #[prost(string, tag = "3")]
    pub user: ::prost::alloc::string::String,
    /// A bearer token, for callers that cannot set the `authorization` metadata key.
    #[prost(string, tag = "4")]
    pub token: ::prost::alloc::string::String,
    /// Distinguishes the devices of one user; readers see it in Event. Empty, or an id in the form of a user's.
    #[prost(string, tag = "5")]
    pub device: ::prost::alloc::string::String,
    /// The client does not answer pings, so the server sends none. The price: if the client's machine disappears, the server
    /// notices only by HTTP/2 PINGs, which do not cross proxies, and the user may stay present until then.
    #[prost(bool, tag = "6")]
    pub no_heartbeat: bool,
}
/// The session is open.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Welcome {
    /// Identifies this session in the server's log.
    #[prost(string, tag = "1")]
    pub session_id: ::prost::alloc::string::String,
    /// The user whose session this is.
    #[prost(string, tag = "2")]
    pub user: ::prost::alloc::string::String,
    /// The server's version.
    #[prost(string, tag = "3")]
    pub server_version: ::prost::alloc::string::String,
    /// The limits of this session.
    #[prost(message, optional, tag = "4")]
    pub limits: ::core::option::Option<Limits>,
    /// How long a client may be silent before the server pings it. After two and a half times as long it is considered gone.
    #[prost(message, optional, tag = "5")]
    pub heartbeat: ::core::option::Option<::prost_types::Duration>,
    /// How safe a message is when it is acked.
    #[prost(enumeration = "Durability", tag = "6")]
    pub durability: i32,
    /// The server's clock.
    #[prost(message, optional, tag = "7")]
    pub server_time: ::core::option::Option<::prost_types::Timestamp>,
}
/// The limits of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Limits {
    /// The longest text of a message, in bytes of UTF-8.
    #[prost(uint32, tag = "1")]
    pub max_text_bytes: u32,
    /// Rooms joined at once.
    #[prost(uint32, tag = "2")]
    pub max_rooms: u32,
    /// Frames in flight that need the history: sends, edits, deletes, reactions, joins and read marks.
    #[prost(uint32, tag = "3")]
    pub max_in_flight: u32,
    /// The longest encoded ClientFrame, in bytes.
    #[prost(uint32, tag = "4")]
    pub max_frame_bytes: u32,
    /// The rates of the user, which all of the user's sessions and calls share: after a burst, so many a second are accepted, and
    /// others are refused with RATE_LIMITED and a RetryInfo. 0: no such limit. Changes are sends, edits, deletes, reactions and
    /// read marks.
    #[prost(uint32, tag = "5")]
    pub changes_per_second: u32,
    /// Changes accepted at once after a pause.
    #[prost(uint32, tag = "6")]
    pub change_burst: u32,
    /// Bytes of the texts of changes.
    #[prost(uint32, tag = "7")]
    pub bytes_per_second: u32,
    /// Bytes accepted at once after a pause.
    #[prost(uint32, tag = "8")]
    pub byte_burst: u32,
}
/// A position in a room's history.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Cursor {
    /// The epoch that `seq` belongs to, from Joined. 0 only together with seq 0: the beginning of the history.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// The sequence number of the last event seen, 0 for none.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// The client_msg_id of that event. If the history has another event at `seq`, because it was restored from a copy and has
    /// gone on differently, the verdict is RESET with FORKED. Empty: not checked.
    #[prost(bytes = "bytes", tag = "3")]
    pub client_msg_id: ::prost::bytes::Bytes,
}
/// Starts receiving a room. The room need not exist: its first message creates it.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Join {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Where to start. Not set: only new events.
    #[prost(oneof = "join::Start", tags = "2, 3")]
    pub start: ::core::option::Option<join::Start>,
}
/// Nested message and enum types in `Join`.
pub mod join {
    /// Where to start. Not set: only new events.
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Start {
        /// With the first event after this position.
        #[prost(message, tag = "2")]
        After(super::Cursor),
        /// With the last so many events, at most 1,000. 0: only new events.
        #[prost(uint32, tag = "3")]
        Last(u32),
    }
}
/// Stops receiving a room.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Leave {
    /// The room's id. A room not joined is FAILED_PRECONDITION.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
}
/// The room is joined. Joining a room again moves the reader to the new start.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Joined {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Whether the reader misses events.
    #[prost(enumeration = "Verdict", tag = "2")]
    pub verdict: i32,
    /// Why, if the verdict is RESET.
    #[prost(enumeration = "ResetReason", tag = "3")]
    pub reset_reason: i32,
    /// The epoch of the history, for the cursor of the next Join.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// Delivery starts with the first event after this sequence number.
    #[prost(uint64, tag = "5")]
    pub start_seq: u64,
    /// The sequence number of the newest event, 0 in an empty room.
    #[prost(uint64, tag = "6")]
    pub head_seq: u64,
    /// The sequence number of the oldest event that is kept, 0 in an empty room.
    #[prost(uint64, tag = "7")]
    pub oldest_seq: u64,
    /// The sequence number up to which this user has read.
    #[prost(uint64, tag = "8")]
    pub read_seq: u64,
    /// Users who are present, by id, if they are at most 256. In a room with more nobody is named: only `present_count` is set.
    #[prost(string, repeated, tag = "9")]
    pub present: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// How many users are present.
    #[prost(uint32, tag = "10")]
    pub present_count: u32,
}
/// All missed events have been sent.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CaughtUp {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The sequence number of the newest event at that moment.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}
/// Posts a message in a room, which need not be joined.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Send {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The message. Not empty, and without control characters other than newline and tab.
    #[prost(string, tag = "2")]
    pub text: ::prost::alloc::string::String,
    /// The idempotency key: 16 bytes, a UUID, best a UUIDv7, made once for this message and reused for every attempt to send it.
    /// It is stored with the message: the reply to a repeat, however late, is the first Ack with `duplicate` set. Empty: the
    /// server makes one and returns it in the Ack; such a frame cannot be repeated.
    #[prost(bytes = "bytes", tag = "3")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// The sequence number of the message that this replies to, or 0.
    #[prost(uint64, tag = "4")]
    pub reply_to_seq: u64,
    /// The epoch that `reply_to_seq` belongs to, from Joined. In another epoch the same sequence number is another message, so
    /// the frame is refused there, unless it is a repeat. 0: not checked.
    #[prost(uint64, tag = "5")]
    pub epoch: u64,
    /// The client_msg_id of the message at `reply_to_seq`. If another message is there, because the history was restored from a
    /// copy and has gone on differently, the frame is refused with FORKED, unless it is a repeat. Empty: not checked.
    #[prost(bytes = "bytes", tag = "6")]
    pub target_client_msg_id: ::prost::bytes::Bytes,
}
/// Replaces the text of one of the user's own messages. A message can be edited 100 times.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Edit {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The sequence number of the message.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// The new text, as in Send.
    #[prost(string, tag = "3")]
    pub text: ::prost::alloc::string::String,
    /// As in Send.
    #[prost(bytes = "bytes", tag = "4")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// The epoch that `seq` belongs to, as in Send.
    #[prost(uint64, tag = "5")]
    pub epoch: u64,
    /// The client_msg_id of the message at `seq`, as in Send.
    #[prost(bytes = "bytes", tag = "6")]
    pub target_client_msg_id: ::prost::bytes::Bytes,
}
/// Erases one of the user's own messages: its text, and every edit of it, are erased from the store.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Delete {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The sequence number of the message.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// As in Send.
    #[prost(bytes = "bytes", tag = "3")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// The epoch that `seq` belongs to, as in Send.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// The client_msg_id of the message at `seq`, as in Send.
    #[prost(bytes = "bytes", tag = "5")]
    pub target_client_msg_id: ::prost::bytes::Bytes,
}
/// Adds a reaction to a message, or removes it. Where it is so already nothing is stored, and there is no event: the reply is an
/// Ack with `duplicate` set, and with seq and time of the user's last event about this reaction, or of the message if there is
/// none.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct React {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The sequence number of the message.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// The reaction, usually one emoji. 1 to 64 bytes, without control characters.
    #[prost(string, tag = "3")]
    pub reaction: ::prost::alloc::string::String,
    /// Removes the reaction.
    #[prost(bool, tag = "4")]
    pub remove: bool,
    /// As in Send.
    #[prost(bytes = "bytes", tag = "5")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// The epoch that `seq` belongs to, as in Send.
    #[prost(uint64, tag = "6")]
    pub epoch: u64,
    /// The client_msg_id of the message at `seq`, as in Send.
    #[prost(bytes = "bytes", tag = "7")]
    pub target_client_msg_id: ::prost::bytes::Bytes,
}
/// Stores how far the user has read a room. A mark only moves forward: a lower one changes nothing, and the reply is Done.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct MarkRead {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The sequence number of the last event read; not beyond the head.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}
/// Shows the user as typing in a room, which has to be joined, for 6 seconds.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Typing {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
}
/// Asks for a sign of life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Ping {}
/// A sign of life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Pong {}
/// Presents a new bearer token.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct RefreshToken {
    /// The token.
    #[prost(string, tag = "1")]
    pub token: ::prost::alloc::string::String,
}
/// The draft is stored.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Ack {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The sequence number of the event.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// When it was stored.
    #[prost(message, optional, tag = "3")]
    pub time: ::core::option::Option<::prost_types::Timestamp>,
    /// The client_msg_id of the draft.
    #[prost(bytes = "bytes", tag = "4")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// Nothing was stored now. It had been by an earlier attempt, or a reaction was as asked already; seq and time are those of
    /// the event since which it is so.
    #[prost(bool, tag = "5")]
    pub duplicate: bool,
    /// How safe the event is.
    #[prost(enumeration = "Durability", tag = "6")]
    pub durability: i32,
}
/// A frame could not be carried out.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Error {
    /// What went wrong, and what to do. The table at the top of this file lists its details.
    #[prost(message, optional, tag = "1")]
    pub status: ::core::option::Option<::tonic_types::pb::Status>,
}
/// The frame was carried out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Done {}
/// An event of a room's history. Every reader is sent the same bytes.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Event {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Its sequence number: strictly increasing in a room.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// The sequence number of the room's previous event, 0 for the first. A reader that compares it with the last one it
    /// received has proof that nothing is missing.
    #[prost(uint64, tag = "3")]
    pub prev_seq: u64,
    /// When it was stored.
    #[prost(message, optional, tag = "4")]
    pub time: ::core::option::Option<::prost_types::Timestamp>,
    /// The user who sent the draft.
    #[prost(string, tag = "5")]
    pub sender: ::prost::alloc::string::String,
    /// The device it was sent from, if the client named one.
    #[prost(string, tag = "6")]
    pub device: ::prost::alloc::string::String,
    /// The client_msg_id of the draft.
    #[prost(bytes = "bytes", tag = "7")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// What happened.
    #[prost(oneof = "event::Body", tags = "8, 9, 10, 11")]
    pub body: ::core::option::Option<event::Body>,
}
/// Nested message and enum types in `Event`.
pub mod event {
    /// What happened.
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Body {
        /// A message was posted.
        #[prost(message, tag = "8")]
        Posted(super::Posted),
        /// A message's text was replaced.
        #[prost(message, tag = "9")]
        Edited(super::Edited),
        /// A message was erased.
        #[prost(message, tag = "10")]
        Deleted(super::Deleted),
        /// A reaction was added or removed.
        #[prost(message, tag = "11")]
        Reacted(super::Reacted),
    }
}
/// A message was posted.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Posted {
    /// The message as first posted; empty if it has been erased since.
    #[prost(string, tag = "1")]
    pub text: ::prost::alloc::string::String,
    /// The sequence number of the message that this replies to, or 0.
    #[prost(uint64, tag = "2")]
    pub reply_to_seq: u64,
    /// It has been erased since.
    #[prost(bool, tag = "3")]
    pub erased: bool,
}
/// A message's text was replaced.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Edited {
    /// The sequence number of the message.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// The new text; empty if the message has been erased since.
    #[prost(string, tag = "2")]
    pub text: ::prost::alloc::string::String,
    /// The message has been erased since.
    #[prost(bool, tag = "3")]
    pub erased: bool,
}
/// A message was erased.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Deleted {
    /// The sequence number of the message.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
}
/// A reaction was added or removed.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Reacted {
    /// The sequence number of the message.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// The reaction.
    #[prost(string, tag = "2")]
    pub reaction: ::prost::alloc::string::String,
    /// The reaction was removed.
    #[prost(bool, tag = "3")]
    pub removed: bool,
}
/// Users have entered or left a room. In a room with more than 256 users nobody is named: `snapshot` is set and `came` is empty,
/// and the number is sent at once when it has changed by an eighth, and otherwise every 5 seconds. When there are clearly fewer
/// again (192), a snapshot names everyone.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PresenceChanged {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Users who have become present.
    #[prost(string, repeated, tag = "2")]
    pub came: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Users who are no longer present.
    #[prost(string, repeated, tag = "3")]
    pub left: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// `came` lists everyone present, or nobody in a room with more than 256 users, and replaces what the client knew.
    #[prost(bool, tag = "4")]
    pub snapshot: bool,
    /// How many users are present.
    #[prost(uint32, tag = "5")]
    pub present_count: u32,
}
/// The users who are typing in a room, except this user. Replaces what the client knew. In a room with more than 256 users nobody
/// is shown.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct TypingChanged {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Users, by id; at most 16.
    #[prost(string, repeated, tag = "2")]
    pub users: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
/// The user has read further on another of their sessions.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ReadChanged {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The sequence number of the last event read.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}
/// The stream is about to end with UNAVAILABLE. Frames in flight are answered; new ones that need the history are refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Draining {
    /// Why.
    #[prost(enumeration = "DrainReason", tag = "1")]
    pub reason: i32,
    /// How long to wait before reconnecting: different for each client, so that not all reconnect at once.
    #[prost(message, optional, tag = "2")]
    pub reconnect_after: ::core::option::Option<::prost_types::Duration>,
    /// Until when Acks may still be sent.
    #[prost(message, optional, tag = "3")]
    pub acks_until: ::core::option::Option<::prost_types::Timestamp>,
}
/// Asks for a page of a room's history.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListMessagesRequest {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Only events after this sequence number; 0 is the beginning. With neither this nor before_seq the newest are returned.
    #[prost(uint64, optional, tag = "2")]
    pub after_seq: ::core::option::Option<u64>,
    /// Only events before this sequence number; the page ends immediately before it. Not together with after_seq.
    #[prost(uint64, optional, tag = "3")]
    pub before_seq: ::core::option::Option<u64>,
    /// The most events to return, up to 1,000; 0 means 100. A page with much text may have fewer.
    #[prost(uint32, tag = "4")]
    pub page_size: u32,
}
/// A page of a room's history.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListMessagesResponse {
    /// Oldest first.
    #[prost(message, repeated, tag = "1")]
    pub events: ::prost::alloc::vec::Vec<Event>,
    /// The epoch of the history; together with a sequence number it makes a cursor.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The sequence number of the newest event, 0 in an empty room.
    #[prost(uint64, tag = "3")]
    pub head_seq: u64,
    /// There are more events in the direction asked for: after the last event (after_seq), or before the first.
    #[prost(bool, tag = "4")]
    pub more: bool,
}
/// Asks for a page of the rooms.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListRoomsRequest {
    /// The most rooms to return, up to 1,000; 0 means 100.
    #[prost(uint32, tag = "1")]
    pub page_size: u32,
    /// The next_page_token of the previous page; empty for the first page.
    #[prost(string, tag = "2")]
    pub page_token: ::prost::alloc::string::String,
}
/// A page of the rooms.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListRoomsResponse {
    /// The rooms, by id.
    #[prost(message, repeated, tag = "1")]
    pub rooms: ::prost::alloc::vec::Vec<Room>,
    /// The page_token of the next page; empty on the last page.
    #[prost(string, tag = "2")]
    pub next_page_token: ::prost::alloc::string::String,
}
/// A message to post.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SendMessageRequest {
    /// The user's id, if the server does not authenticate.
    #[prost(string, tag = "1")]
    pub user: ::prost::alloc::string::String,
    /// The room's id.
    #[prost(string, tag = "2")]
    pub room: ::prost::alloc::string::String,
    /// The message, as in Send.
    #[prost(string, tag = "3")]
    pub text: ::prost::alloc::string::String,
    /// The idempotency key, as in Send. Empty: the call cannot be repeated.
    #[prost(bytes = "bytes", tag = "4")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// The sequence number of the message that this replies to, or 0.
    #[prost(uint64, tag = "5")]
    pub reply_to_seq: u64,
    /// As in Send.
    #[prost(uint64, tag = "6")]
    pub epoch: u64,
    /// As in Send.
    #[prost(bytes = "bytes", tag = "7")]
    pub target_client_msg_id: ::prost::bytes::Bytes,
    /// As in Hello.
    #[prost(string, tag = "8")]
    pub device: ::prost::alloc::string::String,
}
/// The message is stored.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SendMessageResponse {
    /// The sequence number of the event.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// When it was stored.
    #[prost(message, optional, tag = "2")]
    pub time: ::core::option::Option<::prost_types::Timestamp>,
    /// The client_msg_id of the message.
    #[prost(bytes = "bytes", tag = "3")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// It had been stored by an earlier call; seq and time are that one's.
    #[prost(bool, tag = "4")]
    pub duplicate: bool,
    /// How safe the event is.
    #[prost(enumeration = "Durability", tag = "5")]
    pub durability: i32,
    /// The epoch of the history; together with the sequence number it makes a cursor.
    #[prost(uint64, tag = "6")]
    pub epoch: u64,
}
/// A room that has a history.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Room {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The sequence number of the newest event.
    #[prost(uint64, tag = "2")]
    pub head_seq: u64,
    /// When the newest event was stored.
    #[prost(message, optional, tag = "3")]
    pub head_time: ::core::option::Option<::prost_types::Timestamp>,
}
/// How safe a stored message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Durability {
    /// Not given.
    Unspecified = 0,
    /// In the server's memory: lost when the server stops.
    Memory = 1,
    /// Handed to the operating system: survives a crash of the server, not of the machine.
    Written = 2,
    /// Synced to disk: survives a power cut.
    Synced = 3,
    /// Synced to the disks of more than one machine: survives the loss of any one of them.
    Replicated = 4,
}
impl Durability {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "DURABILITY_UNSPECIFIED",
            Self::Memory => "DURABILITY_MEMORY",
            Self::Written => "DURABILITY_WRITTEN",
            Self::Synced => "DURABILITY_SYNCED",
            Self::Replicated => "DURABILITY_REPLICATED",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "DURABILITY_UNSPECIFIED" => Some(Self::Unspecified),
            "DURABILITY_MEMORY" => Some(Self::Memory),
            "DURABILITY_WRITTEN" => Some(Self::Written),
            "DURABILITY_SYNCED" => Some(Self::Synced),
            "DURABILITY_REPLICATED" => Some(Self::Replicated),
            _ => None,
        }
    }
}
/// Whether the reader misses events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Verdict {
    /// Not given.
    Unspecified = 0,
    /// No cursor was given.
    Live = 1,
    /// Everything after the cursor follows, then CaughtUp.
    Recovered = 2,
    /// The cursor cannot be used; `reset_reason` says why. Delivery starts at the head: discard what is kept of this room, and
    /// read as much of the history as is wanted with ListMessages.
    Reset = 3,
}
impl Verdict {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "VERDICT_UNSPECIFIED",
            Self::Live => "VERDICT_LIVE",
            Self::Recovered => "VERDICT_RECOVERED",
            Self::Reset => "VERDICT_RESET",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "VERDICT_UNSPECIFIED" => Some(Self::Unspecified),
            "VERDICT_LIVE" => Some(Self::Live),
            "VERDICT_RECOVERED" => Some(Self::Recovered),
            "VERDICT_RESET" => Some(Self::Reset),
            _ => None,
        }
    }
}
/// Why a cursor could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum ResetReason {
    /// The verdict is not RESET.
    Unspecified = 0,
    /// The history has started a new epoch since (it was restored from a backup, or has lost events).
    Epoch = 1,
    /// The cursor is ahead of the newest event.
    Ahead = 2,
    /// Events after the cursor are no longer kept.
    Expired = 3,
    /// The event at the cursor is another one than the client has seen: the history was restored from a copy, and has gone on
    /// differently.
    Forked = 4,
}
impl ResetReason {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "RESET_REASON_UNSPECIFIED",
            Self::Epoch => "RESET_REASON_EPOCH",
            Self::Ahead => "RESET_REASON_AHEAD",
            Self::Expired => "RESET_REASON_EXPIRED",
            Self::Forked => "RESET_REASON_FORKED",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "RESET_REASON_UNSPECIFIED" => Some(Self::Unspecified),
            "RESET_REASON_EPOCH" => Some(Self::Epoch),
            "RESET_REASON_AHEAD" => Some(Self::Ahead),
            "RESET_REASON_EXPIRED" => Some(Self::Expired),
            "RESET_REASON_FORKED" => Some(Self::Forked),
            _ => None,
        }
    }
}
/// Why a session drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum DrainReason {
    /// Not given.
    Unspecified = 0,
    /// The server is shutting down.
    Shutdown = 1,
    /// The session has reached its maximum age; reconnect at once.
    Age = 2,
    /// The history has started a new epoch; every cursor will be RESET.
    Epoch = 3,
}
impl DrainReason {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "DRAIN_REASON_UNSPECIFIED",
            Self::Shutdown => "DRAIN_REASON_SHUTDOWN",
            Self::Age => "DRAIN_REASON_AGE",
            Self::Epoch => "DRAIN_REASON_EPOCH",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "DRAIN_REASON_UNSPECIFIED" => Some(Self::Unspecified),
            "DRAIN_REASON_SHUTDOWN" => Some(Self::Shutdown),
            "DRAIN_REASON_AGE" => Some(Self::Age),
            "DRAIN_REASON_EPOCH" => Some(Self::Epoch),
            _ => None,
        }
    }
}
/// Why something went wrong, for programs: the names of these values are the reasons in the ErrorInfo of every status.
/// buf:lint:ignore ENUM_VALUE_PREFIX
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Reason {
    /// Not given.
    Unspecified = 0,
    /// INVALID_ARGUMENT: the frame cannot be decoded.
    UndecodableFrame = 1,
    /// INVALID_ARGUMENT: a field is missing, too long, or malformed.
    InvalidField = 2,
    /// INVALID_ARGUMENT: the frame's id is not higher than those of all earlier frames.
    IdNotRising = 3,
    /// UNIMPLEMENTED: the frame has no body, or one that the server does not know.
    UnknownFrame = 4,
    /// FAILED_PRECONDITION: the first frame was not Hello.
    HelloFirst = 5,
    /// FAILED_PRECONDITION: Hello was sent again.
    HelloTwice = 6,
    /// FAILED_PRECONDITION: the server does not use tokens.
    NoTokens = 7,
    /// FAILED_PRECONDITION: the room is not joined.
    NotJoined = 8,
    /// FAILED_PRECONDITION: the room was left, or joined again, before this Join was carried out.
    JoinOvertaken = 9,
    /// FAILED_PRECONDITION: the frame refers to a message of another epoch.
    OtherEpoch = 10,
    /// NOT_FOUND: the message does not exist, is not a message, or has been erased.
    NoSuchMessage = 11,
    /// PERMISSION_DENIED: the message belongs to another user.
    NotTheAuthor = 12,
    /// ALREADY_EXISTS: the client_msg_id was used before, with other content.
    ClientMsgIdReused = 13,
    /// RESOURCE_EXHAUSTED: more rooms than Limits.max_rooms.
    TooManyRooms = 14,
    /// RESOURCE_EXHAUSTED: more frames in flight than Limits.max_in_flight.
    TooManyInFlight = 15,
    /// RESOURCE_EXHAUSTED: too much is waiting to be stored.
    Overloaded = 16,
    /// RESOURCE_EXHAUSTED, in the trailers: the client does not read its replies.
    RepliesUnread = 17,
    /// RESOURCE_EXHAUSTED, in the trailers: a frame was longer than Limits.max_frame_bytes.
    FrameTooLarge = 18,
    /// INTERNAL, in the trailers: what was received is not a stream of gRPC messages.
    NotFrames = 19,
    /// UNAVAILABLE: the history cannot be read or written at present.
    HistoryUnavailable = 20,
    /// UNAVAILABLE: the session is ending and accepts nothing new.
    SessionEnding = 21,
    /// UNAVAILABLE, in the trailers: the session has ended in order.
    SessionEnded = 22,
    /// UNKNOWN: it is not known whether the draft was stored.
    OutcomeUnknown = 23,
    /// DATA_LOSS: the history of the room that the metadata names is damaged.
    HistoryDamaged = 24,
    /// DEADLINE_EXCEEDED, in the trailers: no Hello within 10 seconds.
    HelloTimeout = 25,
    /// DEADLINE_EXCEEDED, in the trailers: nothing was received for two and a half heartbeats.
    Unresponsive = 26,
    /// FAILED_PRECONDITION: the frame refers to a message that is another one in this history.
    Forked = 27,
    /// OUT_OF_RANGE: events that were asked for are no longer kept; the metadata has the room and `oldest_seq`. UNAVAILABLE, in
    /// the trailers: events that were still to be sent to the client are no longer kept.
    Expired = 28,
    /// RESOURCE_EXHAUSTED: the user, or the address, asks for more than it may in the time. RetryInfo says how long to wait; until
    /// then the next request of that kind is refused, too. The metadata has `rate`: "changes", "bytes", "joins", "pages",
    /// "typing", "new_rooms", "sessions", "connections" or "hellos". In the trailers: the session or the call was not accepted.
    RateLimited = 29,
    /// FAILED_PRECONDITION: the message has been edited 100 times.
    TooManyEdits = 30,
    /// UNAVAILABLE: there is no room for new messages, edits and reactions at present. Deletes, read marks and everything that reads
    /// go on.
    StorageFull = 31,
}
impl Reason {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "REASON_UNSPECIFIED",
            Self::UndecodableFrame => "UNDECODABLE_FRAME",
            Self::InvalidField => "INVALID_FIELD",
            Self::IdNotRising => "ID_NOT_RISING",
            Self::UnknownFrame => "UNKNOWN_FRAME",
            Self::HelloFirst => "HELLO_FIRST",
            Self::HelloTwice => "HELLO_TWICE",
            Self::NoTokens => "NO_TOKENS",
            Self::NotJoined => "NOT_JOINED",
            Self::JoinOvertaken => "JOIN_OVERTAKEN",
            Self::OtherEpoch => "OTHER_EPOCH",
            Self::NoSuchMessage => "NO_SUCH_MESSAGE",
            Self::NotTheAuthor => "NOT_THE_AUTHOR",
            Self::ClientMsgIdReused => "CLIENT_MSG_ID_REUSED",
            Self::TooManyRooms => "TOO_MANY_ROOMS",
            Self::TooManyInFlight => "TOO_MANY_IN_FLIGHT",
            Self::Overloaded => "OVERLOADED",
            Self::RepliesUnread => "REPLIES_UNREAD",
            Self::FrameTooLarge => "FRAME_TOO_LARGE",
            Self::NotFrames => "NOT_FRAMES",
            Self::HistoryUnavailable => "HISTORY_UNAVAILABLE",
            Self::SessionEnding => "SESSION_ENDING",
            Self::SessionEnded => "SESSION_ENDED",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::HistoryDamaged => "HISTORY_DAMAGED",
            Self::HelloTimeout => "HELLO_TIMEOUT",
            Self::Unresponsive => "UNRESPONSIVE",
            Self::Forked => "FORKED",
            Self::Expired => "EXPIRED",
            Self::RateLimited => "RATE_LIMITED",
            Self::TooManyEdits => "TOO_MANY_EDITS",
            Self::StorageFull => "STORAGE_FULL",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "REASON_UNSPECIFIED" => Some(Self::Unspecified),
            "UNDECODABLE_FRAME" => Some(Self::UndecodableFrame),
            "INVALID_FIELD" => Some(Self::InvalidField),
            "ID_NOT_RISING" => Some(Self::IdNotRising),
            "UNKNOWN_FRAME" => Some(Self::UnknownFrame),
            "HELLO_FIRST" => Some(Self::HelloFirst),
            "HELLO_TWICE" => Some(Self::HelloTwice),
            "NO_TOKENS" => Some(Self::NoTokens),
            "NOT_JOINED" => Some(Self::NotJoined),
            "JOIN_OVERTAKEN" => Some(Self::JoinOvertaken),
            "OTHER_EPOCH" => Some(Self::OtherEpoch),
            "NO_SUCH_MESSAGE" => Some(Self::NoSuchMessage),
            "NOT_THE_AUTHOR" => Some(Self::NotTheAuthor),
            "CLIENT_MSG_ID_REUSED" => Some(Self::ClientMsgIdReused),
            "TOO_MANY_ROOMS" => Some(Self::TooManyRooms),
            "TOO_MANY_IN_FLIGHT" => Some(Self::TooManyInFlight),
            "OVERLOADED" => Some(Self::Overloaded),
            "REPLIES_UNREAD" => Some(Self::RepliesUnread),
            "FRAME_TOO_LARGE" => Some(Self::FrameTooLarge),
            "NOT_FRAMES" => Some(Self::NotFrames),
            "HISTORY_UNAVAILABLE" => Some(Self::HistoryUnavailable),
            "SESSION_ENDING" => Some(Self::SessionEnding),
            "SESSION_ENDED" => Some(Self::SessionEnded),
            "OUTCOME_UNKNOWN" => Some(Self::OutcomeUnknown),
            "HISTORY_DAMAGED" => Some(Self::HistoryDamaged),
            "HELLO_TIMEOUT" => Some(Self::HelloTimeout),
            "UNRESPONSIVE" => Some(Self::Unresponsive),
            "FORKED" => Some(Self::Forked),
            "EXPIRED" => Some(Self::Expired),
            "RATE_LIMITED" => Some(Self::RateLimited),
            "TOO_MANY_EDITS" => Some(Self::TooManyEdits),
            "STORAGE_FULL" => Some(Self::StorageFull),
            _ => None,
        }
    }
}
/// Generated client implementations.
pub mod chat_service_client {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value,
    )]
    use tonic::codegen::*;
    use tonic::codegen::http::Uri;
    /// Rooms, their history, and their users.
    #[derive(Debug, Clone)]
    pub struct ChatServiceClient<T> {
        inner: tonic::client::Grpc<T>,
    }
    impl ChatServiceClient<tonic::transport::Channel> {
        /// Attempt to create a new client by connecting to a given endpoint.
        pub async fn connect<D>(dst: D) -> Result<Self, tonic::transport::Error>
        where
            D: TryInto<tonic::transport::Endpoint>,
            D::Error: Into<StdError>,
        {
            let conn = tonic::transport::Endpoint::new(dst)?.connect().await?;
            Ok(Self::new(conn))
        }
    }
    impl<T> ChatServiceClient<T>
    where
        T: tonic::client::GrpcService<tonic::body::Body>,
        T::Error: Into<StdError>,
        T::ResponseBody: Body<Data = Bytes> + std::marker::Send + 'static,
        <T::ResponseBody as Body>::Error: Into<StdError> + std::marker::Send,
    {
        pub fn new(inner: T) -> Self {
            let inner = tonic::client::Grpc::new(inner);
            Self { inner }
        }
        pub fn with_origin(inner: T, origin: Uri) -> Self {
            let inner = tonic::client::Grpc::with_origin(inner, origin);
            Self { inner }
        }
        pub fn with_interceptor<F>(
            inner: T,
            interceptor: F,
        ) -> ChatServiceClient<InterceptedService<T, F>>
        where
            F: tonic::service::Interceptor,
            T::ResponseBody: Default,
            T: tonic::codegen::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<
                    <T as tonic::client::GrpcService<tonic::body::Body>>::ResponseBody,
                >,
            >,
            <T as tonic::codegen::Service<
                http::Request<tonic::body::Body>,
            >>::Error: Into<StdError> + std::marker::Send + std::marker::Sync,
        {
            ChatServiceClient::new(InterceptedService::new(inner, interceptor))
        }
        /// Compress requests with the given encoding.
        ///
        /// This requires the server to support it otherwise it might respond with an
        /// error.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.send_compressed(encoding);
            self
        }
        /// Enable decompressing responses.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.accept_compressed(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_decoding_message_size(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_encoding_message_size(limit);
            self
        }
        /// A session. One stream carries all rooms of one user on one device.
        /// buf:lint:ignore RPC_REQUEST_STANDARD_NAME
        /// buf:lint:ignore RPC_RESPONSE_STANDARD_NAME
        pub async fn session(
            &mut self,
            request: impl tonic::IntoStreamingRequest<Message = super::ClientFrame>,
        ) -> std::result::Result<
            tonic::Response<tonic::codec::Streaming<super::ServerFrame>>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/chat.v1.ChatService/Session",
            );
            let mut req = request.into_streaming_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("chat.v1.ChatService", "Session"));
            self.inner.streaming(req, path, codec).await
        }
        /// Returns a page of a room's history, oldest first. The history of an unknown room is empty.
        /// Errors: INVALID_ARGUMENT, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
        pub async fn list_messages(
            &mut self,
            request: impl tonic::IntoRequest<super::ListMessagesRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ListMessagesResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/chat.v1.ChatService/ListMessages",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("chat.v1.ChatService", "ListMessages"));
            self.inner.unary(req, path, codec).await
        }
        /// Returns a page of the rooms that have a history, by id.
        /// Errors: INVALID_ARGUMENT, UNAVAILABLE.
        pub async fn list_rooms(
            &mut self,
            request: impl tonic::IntoRequest<super::ListRoomsRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ListRoomsResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/chat.v1.ChatService/ListRooms",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("chat.v1.ChatService", "ListRooms"));
            self.inner.unary(req, path, codec).await
        }
        /// Posts a message without a session, for bots and scripts. A call that is repeated with the same client_msg_id stores the
        /// message once.
        /// Errors: those of a Send frame.
        pub async fn send_message(
            &mut self,
            request: impl tonic::IntoRequest<super::SendMessageRequest>,
        ) -> std::result::Result<
            tonic::Response<super::SendMessageResponse>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/chat.v1.ChatService/SendMessage",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("chat.v1.ChatService", "SendMessage"));
            self.inner.unary(req, path, codec).await
        }
    }
}
/// Generated server implementations.
pub mod chat_service_server {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value,
    )]
    use tonic::codegen::*;
    /// Generated trait containing gRPC methods that should be implemented for use with ChatServiceServer.
    #[async_trait]
    pub trait ChatService: std::marker::Send + std::marker::Sync + 'static {
        /// A session. One stream carries all rooms of one user on one device.
        /// buf:lint:ignore RPC_REQUEST_STANDARD_NAME
        /// buf:lint:ignore RPC_RESPONSE_STANDARD_NAME
        async fn session(
            &self,
            request: tonic::Request<tonic::Streaming<super::ClientFrame>>,
        ) -> std::result::Result<
            tonic::Response<BoxStream<super::ServerFrame>>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("Not yet implemented"))
        }
        /// Returns a page of a room's history, oldest first. The history of an unknown room is empty.
        /// Errors: INVALID_ARGUMENT, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
        async fn list_messages(
            &self,
            request: tonic::Request<super::ListMessagesRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ListMessagesResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("Not yet implemented"))
        }
        /// Returns a page of the rooms that have a history, by id.
        /// Errors: INVALID_ARGUMENT, UNAVAILABLE.
        async fn list_rooms(
            &self,
            request: tonic::Request<super::ListRoomsRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ListRoomsResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("Not yet implemented"))
        }
        /// Posts a message without a session, for bots and scripts. A call that is repeated with the same client_msg_id stores the
        /// message once.
        /// Errors: those of a Send frame.
        async fn send_message(
            &self,
            request: tonic::Request<super::SendMessageRequest>,
        ) -> std::result::Result<
            tonic::Response<super::SendMessageResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("Not yet implemented"))
        }
    }
    /// Rooms, their history, and their users.
    #[derive(Debug)]
    pub struct ChatServiceServer<T> {
        inner: Arc<T>,
        accept_compression_encodings: EnabledCompressionEncodings,
        send_compression_encodings: EnabledCompressionEncodings,
        max_decoding_message_size: Option<usize>,
        max_encoding_message_size: Option<usize>,
    }
    impl<T> ChatServiceServer<T> {
        pub fn new(inner: T) -> Self {
            Self::from_arc(Arc::new(inner))
        }
        pub fn from_arc(inner: Arc<T>) -> Self {
            Self {
                inner,
                accept_compression_encodings: Default::default(),
                send_compression_encodings: Default::default(),
                max_decoding_message_size: None,
                max_encoding_message_size: None,
            }
        }
        pub fn with_interceptor<F>(
            inner: T,
            interceptor: F,
        ) -> InterceptedService<Self, F>
        where
            F: tonic::service::Interceptor,
        {
            InterceptedService::new(Self::new(inner), interceptor)
        }
        /// Enable decompressing requests with the given encoding.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.accept_compression_encodings.enable(encoding);
            self
        }
        /// Compress responses with the given encoding, if the client supports it.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.send_compression_encodings.enable(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.max_decoding_message_size = Some(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.max_encoding_message_size = Some(limit);
            self
        }
    }
    impl<T, B> tonic::codegen::Service<http::Request<B>> for ChatServiceServer<T>
    where
        T: ChatService,
        B: Body + std::marker::Send + 'static,
        B::Error: Into<StdError> + std::marker::Send + 'static,
    {
        type Response = http::Response<tonic::body::Body>;
        type Error = std::convert::Infallible;
        type Future = BoxFuture<Self::Response, Self::Error>;
        fn poll_ready(
            &mut self,
            _cx: &mut Context<'_>,
        ) -> Poll<std::result::Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, req: http::Request<B>) -> Self::Future {
            match req.uri().path() {
                "/chat.v1.ChatService/Session" => {
                    #[allow(non_camel_case_types)]
                    struct SessionSvc<T: ChatService>(pub Arc<T>);
                    impl<
                        T: ChatService,
                    > tonic::server::StreamingService<super::ClientFrame>
                    for SessionSvc<T> {
                        type Response = super::ServerFrame;
                        type ResponseStream = BoxStream<super::ServerFrame>;
                        type Future = BoxFuture<
                            tonic::Response<Self::ResponseStream>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<tonic::Streaming<super::ClientFrame>>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as ChatService>::session(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = SessionSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.streaming(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/chat.v1.ChatService/ListMessages" => {
                    #[allow(non_camel_case_types)]
                    struct ListMessagesSvc<T: ChatService>(pub Arc<T>);
                    impl<
                        T: ChatService,
                    > tonic::server::UnaryService<super::ListMessagesRequest>
                    for ListMessagesSvc<T> {
                        type Response = super::ListMessagesResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::ListMessagesRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as ChatService>::list_messages(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ListMessagesSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/chat.v1.ChatService/ListRooms" => {
                    #[allow(non_camel_case_types)]
                    struct ListRoomsSvc<T: ChatService>(pub Arc<T>);
                    impl<
                        T: ChatService,
                    > tonic::server::UnaryService<super::ListRoomsRequest>
                    for ListRoomsSvc<T> {
                        type Response = super::ListRoomsResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::ListRoomsRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as ChatService>::list_rooms(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ListRoomsSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/chat.v1.ChatService/SendMessage" => {
                    #[allow(non_camel_case_types)]
                    struct SendMessageSvc<T: ChatService>(pub Arc<T>);
                    impl<
                        T: ChatService,
                    > tonic::server::UnaryService<super::SendMessageRequest>
                    for SendMessageSvc<T> {
                        type Response = super::SendMessageResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::SendMessageRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as ChatService>::send_message(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = SendMessageSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                _ => {
                    Box::pin(async move {
                        let mut response = http::Response::new(
                            tonic::body::Body::default(),
                        );
                        let headers = response.headers_mut();
                        headers
                            .insert(
                                tonic::Status::GRPC_STATUS,
                                (tonic::Code::Unimplemented as i32).into(),
                            );
                        headers
                            .insert(
                                http::header::CONTENT_TYPE,
                                tonic::metadata::GRPC_CONTENT_TYPE,
                            );
                        Ok(response)
                    })
                }
            }
        }
    }
    impl<T> Clone for ChatServiceServer<T> {
        fn clone(&self) -> Self {
            let inner = self.inner.clone();
            Self {
                inner,
                accept_compression_encodings: self.accept_compression_encodings,
                send_compression_encodings: self.send_compression_encodings,
                max_decoding_message_size: self.max_decoding_message_size,
                max_encoding_message_size: self.max_encoding_message_size,
            }
        }
    }
    /// Generated gRPC service name
    pub const SERVICE_NAME: &str = "chat.v1.ChatService";
    impl<T> tonic::server::NamedService for ChatServiceServer<T> {
        const NAME: &'static str = SERVICE_NAME;
    }
}
