//! The one table from what went wrong to a gRPC status, for Error frames and for trailers.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use stubs::chat::v1::Reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt, pb};

use super::messages::Broken;
use crate::history::MAX_EDITS;
use crate::rates::Limited;
use crate::refusal::Refusal;
use crate::session::frame::End;

/// `ErrorInfo.domain` of the reasons in the chat's contract.
const DOMAIN: &str = "chat.v1";

/// When to retry what only has to wait its turn.
const SOON: Duration = Duration::from_millis(500);

/// When to retry what has to wait until something has recovered.
const LATER: Duration = Duration::from_secs(2);

/// When to retry what has to wait until somebody helps.
const AFTER_HELP: Duration = Duration::from_secs(10);

/// Returns the status for a refusal.
pub(super) fn from_refusal(refusal: &Refusal) -> Status {
    problem(refusal).into()
}

/// Returns the name of the reason in the status for a refusal.
pub(super) fn reason(refusal: &Refusal) -> &'static str {
    problem(refusal).reason.as_str_name()
}

fn problem(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Undecodable => Problem::new(
            Code::InvalidArgument,
            Reason::UndecodableFrame,
            "the frame is not a chat.v1.ClientFrame; is a text in it not UTF-8?",
        )
        .field("frame", "cannot be decoded"),
        Refusal::Field { name, why } => {
            Problem::new(Code::InvalidArgument, Reason::InvalidField, format!("{name} {why}")).field(name, why.0)
        }
        Refusal::IdNotRising => Problem::new(
            Code::InvalidArgument,
            Reason::IdNotRising,
            "id must be higher than that of every earlier frame, or 0",
        )
        .field("id", "must rise"),
        Refusal::UnknownBody => Problem::new(
            Code::Unimplemented,
            Reason::UnknownFrame,
            "the frame has no body, or one that this server does not know",
        ),
        Refusal::HelloExpected => {
            Problem::new(Code::FailedPrecondition, Reason::HelloFirst, "the first frame must be hello")
                .precondition("session", "send hello first")
        }
        Refusal::HelloRepeated => Problem::new(
            Code::FailedPrecondition,
            Reason::HelloTwice,
            "hello was sent before; open another stream to be someone else",
        )
        .precondition("session", "send hello once"),
        Refusal::NotJoined { room } => Problem::new(
            Code::FailedPrecondition,
            Reason::NotJoined,
            format!("room {room} is not joined; join it first"),
        )
        .precondition(room.as_str(), "join the room first"),
        Refusal::JoinSuperseded { room } => Problem::new(
            Code::FailedPrecondition,
            Reason::JoinOvertaken,
            format!("room {room} was left or joined again before this join was carried out"),
        )
        .precondition(room.as_str(), "wait for the reply to the later frame"),
        Refusal::TooManyRooms => Problem::new(
            Code::ResourceExhausted,
            Reason::TooManyRooms,
            "too many rooms are joined; leave one first (Welcome.limits.max_rooms)",
        )
        .quota("rooms", "max_rooms joined"),
        Refusal::TooManyInFlight => Problem::new(
            Code::ResourceExhausted,
            Reason::TooManyInFlight,
            "too many frames are not answered yet; wait for replies (Welcome.limits.max_in_flight)",
        )
        .quota("in_flight", "max_in_flight not answered")
        .retry_after(SOON),
        Refusal::NoSuchMessage { room } => {
            Problem::new(Code::NotFound, Reason::NoSuchMessage, format!("room {room} has no such message (any more)"))
                .resource("chat.v1.Event", room.as_str(), "does not exist, or has been erased")
        }
        Refusal::NotTheAuthor => {
            Problem::new(Code::PermissionDenied, Reason::NotTheAuthor, "only its author may change a message")
        }
        Refusal::OtherEpoch => Problem::new(
            Code::FailedPrecondition,
            Reason::OtherEpoch,
            "the request refers to a message of an earlier epoch; the history has been restored or has lost events since",
        )
        .precondition("epoch", "join the room again, and check which message is meant"),
        Refusal::Forked => Problem::new(
            Code::FailedPrecondition,
            Reason::Forked,
            "another message has this sequence number; the history was restored from a copy and has gone on differently",
        )
        .precondition("seq", "join the room again, and check which message is meant"),
        Refusal::TooManyEdits => Problem::new(
            Code::FailedPrecondition,
            Reason::TooManyEdits,
            format!("the message has been edited {MAX_EDITS} times; post another one instead"),
        )
        .precondition("seq", "the message has too many edits"),
        Refusal::Expired { room, oldest } => Problem::new(
            Code::OutOfRange,
            Reason::Expired,
            format!("the history of room {room} is kept from seq {oldest} on; read from there, or from 0"),
        )
        .metadata("room", room.as_str())
        .metadata("oldest_seq", &oldest.to_string()),
        Refusal::IdReused => Problem::new(
            Code::AlreadyExists,
            Reason::ClientMsgIdReused,
            "this client_msg_id was used before with other content; every message needs its own",
        ),
        Refusal::RateLimited(Limited { kind, retry_after }) => Problem::new(
            Code::ResourceExhausted,
            Reason::RateLimited,
            format!("too many {} in the time; try again in {:.1} s", kind.plural(), retry_after.as_secs_f64()),
        )
        .quota("user or network", kind.plural())
        .metadata("rate", kind.name())
        .retry_after(*retry_after),
        Refusal::PagesUnread => Problem::new(
            Code::ResourceExhausted,
            Reason::Overloaded,
            "too many pages have not been read by their callers yet; read what was sent, and try again",
        )
        .quota("server or network", "bytes of unread pages")
        .retry_after(SOON),
        Refusal::Overloaded => Problem::new(
            Code::ResourceExhausted,
            Reason::Overloaded,
            "the server has more to store than it can at present; try again",
        )
        .quota("server", "appends waiting")
        .retry_after(SOON),
        Refusal::HistoryUnavailable => Problem::new(
            Code::Unavailable,
            Reason::HistoryUnavailable,
            "the history cannot be used at present; try again",
        )
        .retry_after(LATER),
        Refusal::StorageFull => Problem::new(
            Code::Unavailable,
            Reason::StorageFull,
            "the server has no room for new messages, edits and reactions at present; try again, and tell the operator",
        )
        .retry_after(AFTER_HELP),
        Refusal::OutcomeUnknown => Problem::new(
            Code::Unknown,
            Reason::OutcomeUnknown,
            "the service cannot tell whether this was stored; repeated with the same client_msg_id, it is stored once",
        ),
        Refusal::Corrupt { room, seq } => Problem::new(
            Code::DataLoss,
            Reason::HistoryDamaged,
            format!("the history of room {room} is damaged at seq {seq}; tell the operator"),
        )
        .metadata("room", room.as_str()),
        Refusal::Draining => {
            Problem::new(Code::Unavailable, Reason::SessionEnding, "the session is ending; reconnect").retry_after(LATER)
        }
        Refusal::NoTokens => Problem::new(
            Code::FailedPrecondition,
            Reason::NoTokens,
            "this server does not use tokens; name the user in hello instead",
        )
        .precondition("session", "this server does not authenticate"),
    }
}

/// Returns the status in the form that an Error frame carries.
pub(super) fn to_frame(refusal: &Refusal) -> pb::Status {
    let status = from_refusal(refusal);
    // The details of a status are the encoded google.rpc.Status; see "Richer error model" in gRPC's guides.
    pb::Status::decode(status.details()).unwrap_or_else(|_| pb::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

/// Returns the status that an Error frame carries.
pub(super) fn from_frame(error: pb::Status) -> Status {
    let details = error.encode_to_vec().into();
    Status::with_details(error.code.into(), error.message, details)
}

/// Returns the status with which a session's stream ends.
pub(super) fn from_end(end: &End) -> Status {
    match end {
        End::Completed => return Status::ok(""),
        End::Refused(refusal) => return from_refusal(refusal),
        End::HelloTimeout => Problem::new(Code::DeadlineExceeded, Reason::HelloTimeout, "no hello in time"),
        End::Unresponsive => Problem::new(
            Code::DeadlineExceeded,
            Reason::Unresponsive,
            "nothing was received for two and a half heartbeats; answer pings, or send any frame",
        ),
        End::RepliesUnread => Problem::new(
            Code::ResourceExhausted,
            Reason::RepliesUnread,
            "too many replies are not read; read the stream while writing to it",
        )
        .quota("replies", "bytes of unread replies")
        .retry_after(LATER),
        End::Drained => {
            Problem::new(Code::Unavailable, Reason::SessionEnded, "the session has ended in order; reconnect")
                .retry_after(LATER)
        }
        End::Expired { room } => Problem::new(
            Code::Unavailable,
            Reason::Expired,
            format!("events of room {room} that were still to be sent are no longer kept; reconnect and join it again"),
        )
        .metadata("room", room.as_str())
        .retry_after(SOON),
        End::FrameTooLarge => Problem::new(
            Code::ResourceExhausted,
            Reason::FrameTooLarge,
            "a frame is longer than Welcome.limits.max_frame_bytes; send less at once",
        )
        .quota("frame", "max_frame_bytes"),
        End::NotFrames => {
            Problem::new(Code::Internal, Reason::NotFrames, "what was received is not a stream of gRPC messages")
        }
        End::Disconnected => return Status::cancelled("the caller has disconnected"),
    }
    .into()
}

/// Returns the status for a call whose request has broken off.
pub(super) fn from_broken(broken: &Broken) -> Status {
    match broken {
        Broken::TooLong { bytes, max_bytes } => Status::resource_exhausted(format!(
            "a message has {bytes} bytes, over the limit of {max_bytes}; send less at once"
        )),
        Broken::Compressed => {
            let mut status = Status::unimplemented("compressed messages are not accepted");
            let identity = tonic::metadata::MetadataValue::from_static("identity");
            status.metadata_mut().insert("grpc-accept-encoding", identity);
            status
        }
        Broken::Flag(flag) => {
            Status::internal(format!("a message has the flag {flag}; only 0, uncompressed, is accepted"))
        }
        Broken::CutOff => Status::internal("the request ended within a message"),
        Broken::Disconnected => Status::cancelled("the caller has disconnected"),
    }
}

/// Returns how a session ends whose request has broken off.
pub(super) fn end_of_broken(broken: &Broken) -> End {
    match broken {
        Broken::TooLong { .. } => End::FrameTooLarge,
        Broken::Compressed | Broken::Flag(_) | Broken::CutOff => End::NotFrames,
        Broken::Disconnected => End::Disconnected,
    }
}

/// Returns the status for a unary call that is not done when its caller stops waiting.
pub(super) fn too_late() -> Status {
    Status::deadline_exceeded("the time that the caller has set is over; a message may have been stored nevertheless")
}

/// Returns the status for a message that cannot be decoded. `INTERNAL` is what gRPC's own libraries use.
pub(super) fn undecodable(error: &prost::DecodeError) -> Status {
    Status::internal(format!("a message cannot be decoded: {error}"))
}

/// Returns the status for a call of the example that is open when the server shuts down.
pub(super) fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down; call again soon")
}

/// Returns the status for a request without the facts that the connection attaches to it.
pub(super) fn no_connection() -> Status {
    Status::internal("the call did not come through a connection of this server")
}

/// Returns the status for a frame of this server that cannot be decoded.
pub(super) fn undecodable_own_frame() -> Status {
    Status::internal("a frame of this server cannot be decoded")
}

/// A status in the making: every one names its reason in an ErrorInfo, and has the details that go with its code.
struct Problem {
    code: Code,
    reason: Reason,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

impl Problem {
    fn new(code: Code, reason: Reason, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), metadata: HashMap::new(), details: ErrorDetails::new() }
    }

    fn field(mut self, name: &str, description: &str) -> Self {
        self.details.add_bad_request_violation(name, description);
        self
    }

    fn precondition(mut self, subject: &str, description: &str) -> Self {
        self.details.add_precondition_failure_violation(self.reason.as_str_name(), subject, description);
        self
    }

    fn quota(mut self, subject: &str, description: &str) -> Self {
        self.details.add_quota_failure_violation(subject, description);
        self
    }

    fn resource(mut self, kind: &str, name: &str, description: &str) -> Self {
        self.details.set_resource_info(kind, name, "", description);
        self
    }

    fn retry_after(mut self, delay: Duration) -> Self {
        self.details.set_retry_info(Some(delay));
        self
    }

    fn metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let Problem { code, reason, message, metadata, mut details } = problem;
        details.set_error_info(reason.as_str_name(), DOMAIN, metadata);
        Self::with_error_details(code, message, details)
    }
}
