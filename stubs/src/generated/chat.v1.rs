// Written by `cargo xtask gen`. Do not edit.

/// One thing a client says.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ClientFrame {
    /// Chosen by the client, strictly increasing in a stream. 0 (no reply wanted) only with typing, ping and pong.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// What it says. A body that the server does not know is answered with UNIMPLEMENTED.
    #[prost(
        oneof = "client_frame::Body",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13"
    )]
    pub body: ::core::option::Option<client_frame::Body>,
}
/// Nested message and enum types in `ClientFrame`.
pub mod client_frame {
    /// What it says. A body that the server does not know is answered with UNIMPLEMENTED.
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Body {
        /// First, and once.
        #[prost(message, tag = "2")]
        Hello(super::Hello),
        /// Receive a room. Answered with Joined.
        #[prost(message, tag = "3")]
        Join(super::Join),
        /// Stop receiving it. Answered with Done.
        #[prost(message, tag = "4")]
        Leave(super::Leave),
        /// Say something. Answered with Ack.
        #[prost(message, tag = "5")]
        Send(super::Send),
        /// Replace the text of one's own message. Answered with Ack.
        #[prost(message, tag = "6")]
        Edit(super::Edit),
        /// Erase one's own message. Answered with Ack.
        #[prost(message, tag = "7")]
        Delete(super::Delete),
        /// React to a message, or take a reaction back. Answered with Ack.
        #[prost(message, tag = "8")]
        React(super::React),
        /// Note how far one has read. Answered with Done.
        #[prost(message, tag = "9")]
        MarkRead(super::MarkRead),
        /// One is typing. Never stored, answered with Done only if the frame has an id.
        #[prost(message, tag = "10")]
        Typing(super::Typing),
        /// Are you there? Answered with Pong.
        #[prost(message, tag = "11")]
        Ping(super::Ping),
        /// The answer to the server's Ping.
        #[prost(message, tag = "12")]
        Pong(super::Pong),
        /// A new bearer token, without reconnecting. Answered with Done.
        #[prost(message, tag = "13")]
        RefreshToken(super::RefreshToken),
    }
}
/// One thing the server says.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ServerFrame {
    /// The id of the client frame this replies to, or 0.
    #[prost(uint64, tag = "1")]
    pub reply_to: u64,
    /// What it says. A client skips a body that it does not know.
    #[prost(
        oneof = "server_frame::Body",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14"
    )]
    pub body: ::core::option::Option<server_frame::Body>,
}
/// Nested message and enum types in `ServerFrame`.
pub mod server_frame {
    /// What it says. A client skips a body that it does not know.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Body {
        /// First, the answer to Hello.
        #[prost(message, tag = "2")]
        Welcome(super::Welcome),
        /// The draft is stored.
        #[prost(message, tag = "3")]
        Ack(super::Ack),
        /// One frame could not be carried out.
        #[prost(message, tag = "4")]
        Error(super::Error),
        /// Something in a room's history.
        #[prost(message, tag = "5")]
        Event(super::Event),
        /// The answer to Join.
        #[prost(message, tag = "6")]
        Joined(super::Joined),
        /// All that was missed in a room has been sent; from here on it is live.
        #[prost(message, tag = "7")]
        CaughtUp(super::CaughtUp),
        /// Who came and who left. Live only, coalesced.
        #[prost(message, tag = "8")]
        PresenceChanged(super::PresenceChanged),
        /// Who is typing. Live only, coalesced.
        #[prost(message, tag = "9")]
        TypingChanged(super::TypingChanged),
        /// How far this user has read, on another of their sessions. Live only, coalesced.
        #[prost(message, tag = "10")]
        ReadChanged(super::ReadChanged),
        /// The server, or this session, is about to end.
        #[prost(message, tag = "11")]
        Draining(super::Draining),
        /// Are you there? To be answered with Pong, or with any other frame.
        #[prost(message, tag = "12")]
        Ping(super::Ping),
        /// The answer to the client's Ping.
        #[prost(message, tag = "13")]
        Pong(super::Pong),
        /// The frame was carried out, and there is nothing more to say of it.
        #[prost(message, tag = "14")]
        Done(super::Done),
    }
}
/// Who is calling. The first frame, within 10 seconds.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Hello {
    /// The client program, for the server's log. At most 64 bytes.
    #[prost(string, tag = "1")]
    pub client_name: ::prost::alloc::string::String,
    /// Its version. At most 64 bytes.
    #[prost(string, tag = "2")]
    pub client_version: ::prost::alloc::string::String,
    /// The user's id, where the server does not authenticate.
    #[prost(string, tag = "3")]
    pub user: ::prost::alloc::string::String,
    /// A bearer token, where the caller cannot set the `authorization` metadata key.
    #[prost(string, tag = "4")]
    pub token: ::prost::alloc::string::String,
    /// Tells one user's devices apart; told to readers in Event. Empty, or an id like a user's.
    #[prost(string, tag = "5")]
    pub device: ::prost::alloc::string::String,
}
/// The session is open.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Welcome {
    /// Names this session in the server's log.
    #[prost(string, tag = "1")]
    pub session_id: ::prost::alloc::string::String,
    /// The user that the server takes the caller for.
    #[prost(string, tag = "2")]
    pub user: ::prost::alloc::string::String,
    /// The server's version.
    #[prost(string, tag = "3")]
    pub server_version: ::prost::alloc::string::String,
    /// What this session may do.
    #[prost(message, optional, tag = "4")]
    pub limits: ::core::option::Option<Limits>,
    /// How often the server pings a silent client. One that stays silent for two and a half times as long is taken for gone.
    #[prost(message, optional, tag = "5")]
    pub heartbeat: ::core::option::Option<::prost_types::Duration>,
    /// How safe a message is when it is acked.
    #[prost(enumeration = "Durability", tag = "6")]
    pub durability: i32,
    /// The server's clock.
    #[prost(message, optional, tag = "7")]
    pub server_time: ::core::option::Option<::prost_types::Timestamp>,
}
/// What a session may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Limits {
    /// The longest text of a message, in bytes of UTF-8.
    #[prost(uint32, tag = "1")]
    pub max_text_bytes: u32,
    /// Rooms joined at once.
    #[prost(uint32, tag = "2")]
    pub max_rooms: u32,
    /// Frames not yet answered that need the history: sends, edits, deletes, reactions, joins and read marks.
    #[prost(uint32, tag = "3")]
    pub max_in_flight: u32,
    /// The longest encoded ClientFrame, in bytes.
    #[prost(uint32, tag = "4")]
    pub max_frame_bytes: u32,
}
/// A place in a room's history.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Cursor {
    /// The life of the history that `seq` belongs to, as told in Joined. 0 only together with seq 0: from the beginning.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// The last event seen. 0: none yet.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}
/// Receive a room. It need not exist: the first message creates it.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Join {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Where to begin. Not set: live only.
    #[prost(oneof = "join::Start", tags = "2, 3")]
    pub start: ::core::option::Option<join::Start>,
}
/// Nested message and enum types in `Join`.
pub mod join {
    /// Where to begin. Not set: live only.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Start {
        /// Everything after this place.
        #[prost(message, tag = "2")]
        After(super::Cursor),
        /// The last so many events, then live; at most 1,000. 0: live only.
        #[prost(uint32, tag = "3")]
        Last(u32),
    }
}
/// Stop receiving a room.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Leave {
    /// The room's id. A room not joined is FAILED_PRECONDITION.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
}
/// The room is joined; this is what to expect. Joining a room again moves the reader to the new start.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Joined {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Whether something is missed.
    #[prost(enumeration = "Verdict", tag = "2")]
    pub verdict: i32,
    /// Why, where it is.
    #[prost(enumeration = "ResetReason", tag = "3")]
    pub reset_reason: i32,
    /// The life of the history: goes into the cursor of the next Join.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// The first event that follows is the first one after this seq.
    #[prost(uint64, tag = "5")]
    pub start_seq: u64,
    /// The newest event's seq, 0 in an empty room.
    #[prost(uint64, tag = "6")]
    pub head_seq: u64,
    /// The oldest event's seq that is kept, 0 in an empty room.
    #[prost(uint64, tag = "7")]
    pub oldest_seq: u64,
    /// How far this user has read.
    #[prost(uint64, tag = "8")]
    pub read_seq: u64,
    /// Users present, at most 256 of them, by id.
    #[prost(string, repeated, tag = "9")]
    pub present: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// How many are present in all.
    #[prost(uint32, tag = "10")]
    pub present_count: u32,
}
/// All that was missed has been sent.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CaughtUp {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The newest event at that moment.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}
/// Say something in a room. It need not be joined.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Send {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// What is said. Not empty. Control characters other than newline and tab are refused.
    #[prost(string, tag = "2")]
    pub text: ::prost::alloc::string::String,
    /// 16 bytes, a UUIDv7, made once for this message and kept for every attempt to send it. It is stored with the message: a
    /// repeat is answered with the first Ack and `duplicate`, however much later it comes.
    #[prost(bytes = "bytes", tag = "3")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// The message this answers, or 0.
    #[prost(uint64, tag = "4")]
    pub reply_to_seq: u64,
    /// The life of the history that `reply_to_seq` is a place in, as in Joined. In another one it is refused, unless it is
    /// stored there already: there the same seq is another message. 0: not checked.
    #[prost(uint64, tag = "5")]
    pub epoch: u64,
}
/// Replace the text of one's own message.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Edit {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The message.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// The new text, as in Send.
    #[prost(string, tag = "3")]
    pub text: ::prost::alloc::string::String,
    /// As in Send.
    #[prost(bytes = "bytes", tag = "4")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// The life of the history that `seq` is a place in, as in Send.
    #[prost(uint64, tag = "5")]
    pub epoch: u64,
}
/// Erase one's own message: its text, and every edit of it, are erased from the store.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Delete {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The message.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// As in Send.
    #[prost(bytes = "bytes", tag = "3")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// The life of the history that `seq` is a place in, as in Send.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
}
/// React to a message.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct React {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The message.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// The reaction, usually one emoji. 1 to 64 bytes, without control characters.
    #[prost(string, tag = "3")]
    pub reaction: ::prost::alloc::string::String,
    /// Take it back.
    #[prost(bool, tag = "4")]
    pub remove: bool,
    /// As in Send.
    #[prost(bytes = "bytes", tag = "5")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// The life of the history that `seq` is a place in, as in Send.
    #[prost(uint64, tag = "6")]
    pub epoch: u64,
}
/// This user has read the room up to here. A mark only moves forward; a lower one is answered with Done and changes nothing.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct MarkRead {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The last event read; not beyond the head.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}
/// The user is typing in a room; forgotten after 6 seconds. The room has to be joined.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Typing {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
}
/// Are you there?
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Ping {}
/// I am.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Pong {}
/// A new bearer token.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct RefreshToken {
    /// The token.
    #[prost(string, tag = "1")]
    pub token: ::prost::alloc::string::String,
}
/// The draft is stored and has its place.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Ack {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Its place.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// When it was stored.
    #[prost(message, optional, tag = "3")]
    pub time: ::core::option::Option<::prost_types::Timestamp>,
    /// The draft's.
    #[prost(bytes = "bytes", tag = "4")]
    pub client_msg_id: ::prost::bytes::Bytes,
    /// It was stored by an earlier attempt; this is that one's place and time.
    #[prost(bool, tag = "5")]
    pub duplicate: bool,
    /// How safe it is now.
    #[prost(enumeration = "Durability", tag = "6")]
    pub durability: i32,
}
/// One frame could not be carried out.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Error {
    /// What, why and what to do. Its details are those of the table at the top of this file.
    #[prost(message, optional, tag = "1")]
    pub status: ::core::option::Option<::tonic_types::pb::Status>,
}
/// The frame was carried out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Done {}
/// Something in a room's history. The same bytes for every reader.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Event {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Its place: strictly increasing in a room.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// The seq of the event before it, 0 for a room's first. A reader that checks it against the last one it saw has
    /// proof that nothing is missing.
    #[prost(uint64, tag = "3")]
    pub prev_seq: u64,
    /// When it was stored.
    #[prost(message, optional, tag = "4")]
    pub time: ::core::option::Option<::prost_types::Timestamp>,
    /// The user who caused it.
    #[prost(string, tag = "5")]
    pub sender: ::prost::alloc::string::String,
    /// That user's device, if it gave one.
    #[prost(string, tag = "6")]
    pub device: ::prost::alloc::string::String,
    /// The draft's.
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
        /// A message.
        #[prost(message, tag = "8")]
        Posted(super::Posted),
        /// A message's text was replaced.
        #[prost(message, tag = "9")]
        Edited(super::Edited),
        /// A message was erased.
        #[prost(message, tag = "10")]
        Deleted(super::Deleted),
        /// A reaction came or went.
        #[prost(message, tag = "11")]
        Reacted(super::Reacted),
    }
}
/// A message.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Posted {
    /// What was said, as first posted; empty if it has been erased since.
    #[prost(string, tag = "1")]
    pub text: ::prost::alloc::string::String,
    /// The message it answers, or 0.
    #[prost(uint64, tag = "2")]
    pub reply_to_seq: u64,
    /// It has been erased since.
    #[prost(bool, tag = "3")]
    pub erased: bool,
}
/// A message's text was replaced.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Edited {
    /// The message.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// Its new text; empty if the message has been erased since.
    #[prost(string, tag = "2")]
    pub text: ::prost::alloc::string::String,
    /// The message has been erased since.
    #[prost(bool, tag = "3")]
    pub erased: bool,
}
/// A message was erased.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Deleted {
    /// The message.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
}
/// A reaction came or went.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Reacted {
    /// The message.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// The reaction.
    #[prost(string, tag = "2")]
    pub reaction: ::prost::alloc::string::String,
    /// It was taken back.
    #[prost(bool, tag = "3")]
    pub removed: bool,
}
/// Who came and who left.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PresenceChanged {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Users who are present now and were not.
    #[prost(string, repeated, tag = "2")]
    pub came: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Users who are not present any more.
    #[prost(string, repeated, tag = "3")]
    pub left: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// `came` is everyone present (at most 256) and replaces what was known.
    #[prost(bool, tag = "4")]
    pub snapshot: bool,
    /// How many are present in all.
    #[prost(uint32, tag = "5")]
    pub present_count: u32,
}
/// Who is typing in a room, apart from this user. Replaces what was known.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct TypingChanged {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Users, by id; at most 16.
    #[prost(string, repeated, tag = "2")]
    pub users: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
/// This user has read further, on another of their sessions.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ReadChanged {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The last event read.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}
/// The stream is about to end with UNAVAILABLE. Frames received until then are answered; new sends are refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Draining {
    /// Why.
    #[prost(enumeration = "DrainReason", tag = "1")]
    pub reason: i32,
    /// When to connect again: already spread out, so that not all come at once.
    #[prost(message, optional, tag = "2")]
    pub reconnect_after: ::core::option::Option<::prost_types::Duration>,
    /// Until when acks may still come.
    #[prost(message, optional, tag = "3")]
    pub acks_until: ::core::option::Option<::prost_types::Timestamp>,
}
/// Which page of a room's history.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListMessagesRequest {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// Only events after this one; 0 is the beginning. With neither this nor before_seq the newest are returned.
    #[prost(uint64, optional, tag = "2")]
    pub after_seq: ::core::option::Option<u64>,
    /// Only events before this one; the page ends right before it. Not together with after_seq.
    #[prost(uint64, optional, tag = "3")]
    pub before_seq: ::core::option::Option<u64>,
    /// At most so many events, up to 1,000; 0 means 100. A page may also be shorter because it is large.
    #[prost(uint32, tag = "4")]
    pub page_size: u32,
}
/// A page of a room's history.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListMessagesResponse {
    /// Oldest first.
    #[prost(message, repeated, tag = "1")]
    pub events: ::prost::alloc::vec::Vec<Event>,
    /// The life of the history: with a seq it makes a cursor.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The newest event's seq, 0 in an empty room.
    #[prost(uint64, tag = "3")]
    pub head_seq: u64,
    /// There is more in the direction asked for: after the last event (after_seq), or before the first.
    #[prost(bool, tag = "4")]
    pub more: bool,
}
/// Which page of the rooms.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListRoomsRequest {
    /// At most so many, up to 1,000; 0 means 100.
    #[prost(uint32, tag = "1")]
    pub page_size: u32,
    /// The last page's next_page_token; empty for the first page.
    #[prost(string, tag = "2")]
    pub page_token: ::prost::alloc::string::String,
}
/// A page of the rooms.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListRoomsResponse {
    /// By id.
    #[prost(message, repeated, tag = "1")]
    pub rooms: ::prost::alloc::vec::Vec<Room>,
    /// Empty on the last page.
    #[prost(string, tag = "2")]
    pub next_page_token: ::prost::alloc::string::String,
}
/// A room that has a history.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Room {
    /// The room's id.
    #[prost(string, tag = "1")]
    pub room: ::prost::alloc::string::String,
    /// The newest event's seq.
    #[prost(uint64, tag = "2")]
    pub head_seq: u64,
    /// When that was stored.
    #[prost(message, optional, tag = "3")]
    pub head_time: ::core::option::Option<::prost_types::Timestamp>,
}
/// How safe a stored message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Durability {
    /// Not told.
    Unspecified = 0,
    /// In the server's memory: gone when it ends.
    Memory = 1,
    /// Given to the operating system: survives the server, not the machine.
    Written = 2,
    /// On disk, synced: survives a power cut.
    Synced = 3,
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
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "DURABILITY_UNSPECIFIED" => Some(Self::Unspecified),
            "DURABILITY_MEMORY" => Some(Self::Memory),
            "DURABILITY_WRITTEN" => Some(Self::Written),
            "DURABILITY_SYNCED" => Some(Self::Synced),
            _ => None,
        }
    }
}
/// Whether the reader will miss something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Verdict {
    /// Not told.
    Unspecified = 0,
    /// No cursor was given: only what is new, or the last so many.
    Live = 1,
    /// Everything after the cursor follows, then CaughtUp.
    Recovered = 2,
    /// The cursor does not belong to this history; `reset_reason` says why. What follows begins at the head: throw away what
    /// is kept of this room and page the history (ListMessages) for as much as is wanted.
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
    /// The history has begun anew since (restored from a backup, or lost).
    Epoch = 1,
    /// The cursor is ahead of the newest event.
    Ahead = 2,
    /// What followed the cursor is no longer kept.
    Expired = 3,
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
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "RESET_REASON_UNSPECIFIED" => Some(Self::Unspecified),
            "RESET_REASON_EPOCH" => Some(Self::Epoch),
            "RESET_REASON_AHEAD" => Some(Self::Ahead),
            "RESET_REASON_EXPIRED" => Some(Self::Expired),
            _ => None,
        }
    }
}
/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum DrainReason {
    /// Not told.
    Unspecified = 0,
    /// The server is stopping.
    Shutdown = 1,
    /// The session is as old as sessions get; connect again at once.
    Age = 2,
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
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "DRAIN_REASON_UNSPECIFIED" => Some(Self::Unspecified),
            "DRAIN_REASON_SHUTDOWN" => Some(Self::Shutdown),
            "DRAIN_REASON_AGE" => Some(Self::Age),
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
    /// Rooms, their history, and the people in them.
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
        /// The conversation. One stream carries all rooms of one user on one device.
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
        /// A page of a room's history, oldest first. An unknown room has an empty one.
        /// Errors: INVALID_ARGUMENT, UNAVAILABLE, DATA_LOSS.
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
        /// A page of the rooms that have a history, by id.
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
        /// The conversation. One stream carries all rooms of one user on one device.
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
        /// A page of a room's history, oldest first. An unknown room has an empty one.
        /// Errors: INVALID_ARGUMENT, UNAVAILABLE, DATA_LOSS.
        async fn list_messages(
            &self,
            request: tonic::Request<super::ListMessagesRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ListMessagesResponse>,
            tonic::Status,
        > {
            Err(tonic::Status::unimplemented("Not yet implemented"))
        }
        /// A page of the rooms that have a history, by id.
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
    }
    /// Rooms, their history, and the people in them.
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
