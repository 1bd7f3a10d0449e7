//! The one table from what went wrong to a gRPC status, in the stream and in the trailers.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt, pb};

use crate::history::ReadError;
use crate::model::RoomId;
use crate::session::frame::{End, Refusal};

/// `ErrorInfo.domain` of everything that is ours.
const DOMAIN: &str = "chat.v1";

/// When to try again what was too much just now.
const SOON: Duration = Duration::from_millis(500);

/// When to try again what needs something to recover.
const LATER: Duration = Duration::from_secs(2);

/// The status for trailers.
pub(crate) fn of_refusal(refusal: &Refusal) -> Status {
    let (code, message, details): (Code, String, ErrorDetails) = match refusal {
        Refusal::Undecodable => (
            Code::InvalidArgument,
            "the frame is not a chat.v1.ClientFrame; is a text in it not UTF-8?".to_owned(),
            ErrorDetails::with_bad_request_violation("frame", "cannot be decoded"),
        ),
        Refusal::Field { name, why } => (
            Code::InvalidArgument,
            format!("{name} {why}"),
            ErrorDetails::with_bad_request_violation(*name, why.to_string()),
        ),
        Refusal::IdNotRising => (
            Code::InvalidArgument,
            "id must be higher than that of every frame before (0 only with typing, ping and pong)".to_owned(),
            ErrorDetails::with_bad_request_violation("id", "must rise"),
        ),
        Refusal::UnknownBody => (
            Code::Unimplemented,
            "this server does not know the frame's body, or it has none".to_owned(),
            info("UNKNOWN_FRAME"),
        ),
        Refusal::HelloFirst => (
            Code::FailedPrecondition,
            "the first frame must be hello".to_owned(),
            precondition("HELLO_FIRST", "session", "say hello first"),
        ),
        Refusal::HelloTwice => (
            Code::FailedPrecondition,
            "hello was said before; open another stream to be someone else".to_owned(),
            precondition("HELLO_TWICE", "session", "say hello once"),
        ),
        Refusal::NotJoined { room } => (
            Code::FailedPrecondition,
            format!("room {room} is not joined; join it first"),
            precondition("NOT_JOINED", room.as_str(), "join the room first"),
        ),
        Refusal::JoinOvertaken { room } => (
            Code::FailedPrecondition,
            format!("room {room} was left or joined again before this join was carried out"),
            precondition("JOIN_OVERTAKEN", room.as_str(), "wait for the answer to the later frame"),
        ),
        Refusal::TooManyRooms => (
            Code::ResourceExhausted,
            "too many rooms are joined; leave one first (Welcome.limits.max_rooms)".to_owned(),
            quota("rooms", "max_rooms joined", None),
        ),
        Refusal::TooManyInFlight => (
            Code::ResourceExhausted,
            "too many frames are not answered yet; wait for answers (Welcome.limits.max_in_flight)".to_owned(),
            quota("in_flight", "max_in_flight not answered", Some(SOON)),
        ),
        Refusal::NoSuchMessage { room } => (
            Code::NotFound,
            format!("room {room} has no such message (any more)"),
            ErrorDetails::with_resource_info("chat.v1.Event", room.as_str(), "", "does not exist, or has been erased"),
        ),
        Refusal::NotTheAuthor => {
            (Code::PermissionDenied, "only its author may change a message".to_owned(), info("NOT_THE_AUTHOR"))
        }
        Refusal::OtherEpoch => (
            Code::FailedPrecondition,
            "it is about a message of an earlier history; the history has begun anew since".to_owned(),
            precondition("OTHER_EPOCH", "epoch", "join the room again, and look which message is meant"),
        ),
        Refusal::IdReused => (
            Code::AlreadyExists,
            "this client_msg_id was used before with other content; every message needs its own".to_owned(),
            info("CLIENT_MSG_ID_REUSED"),
        ),
        Refusal::Overloaded => (
            Code::ResourceExhausted,
            "the server has more to store than it can just now; try again".to_owned(),
            quota("server", "appends waiting", Some(SOON)),
        ),
        Refusal::HistoryUnavailable => (
            Code::Unavailable,
            "the history cannot be used now; try again".to_owned(),
            ErrorDetails::with_retry_info(Some(LATER)),
        ),
        Refusal::OutcomeUnknown => (
            Code::Unknown,
            "whether it was stored is not known; send it again with the same client_msg_id".to_owned(),
            info("OUTCOME_UNKNOWN"),
        ),
        Refusal::Corrupt { room, seq } => (
            Code::DataLoss,
            format!("the history of room {room} is damaged at seq {seq}; tell the operator"),
            ErrorDetails::with_error_info("HISTORY_DAMAGED", DOMAIN, [("room".to_owned(), room.to_string())]),
        ),
        Refusal::Leaving => (
            Code::Unavailable,
            "the session is ending; connect again".to_owned(),
            ErrorDetails::with_retry_info(Some(LATER)),
        ),
        Refusal::NoTokens => (
            Code::FailedPrecondition,
            "this server does not use tokens".to_owned(),
            precondition("NO_TOKENS", "session", "this server does not authenticate"),
        ),
    };
    Status::with_error_details(code, message, details)
}

/// The same for an Error frame.
pub(crate) fn in_stream(refusal: &Refusal) -> pb::Status {
    let status = of_refusal(refusal);
    // The details of a status are itself, encoded; see "Richer error model" in gRPC's guides.
    pb::Status::decode(status.details()).unwrap_or_else(|_| pb::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

pub(crate) fn of_read(error: ReadError, room: &RoomId) -> Status {
    of_refusal(&Refusal::of_read(error, room))
}

pub(crate) fn of_end(end: &End) -> Status {
    match end {
        End::Completed => Status::ok(""),
        End::Refused(refusal) => of_refusal(refusal),
        End::NoHello => Status::deadline_exceeded("no hello in time"),
        End::Silent => {
            Status::deadline_exceeded("nothing heard for two and a half heartbeats; answer pings, or send any frame")
        }
        End::RepliesUnread => Status::with_error_details(
            Code::ResourceExhausted,
            "too many replies are not read; read the stream while writing to it",
            quota("replies", "bytes of unread replies", Some(LATER)),
        ),
        End::Left => Status::with_error_details(
            Code::Unavailable,
            "the session has ended in order; connect again",
            ErrorDetails::with_retry_info(Some(LATER)),
        ),
        End::FrameTooLarge => Status::with_error_details(
            Code::ResourceExhausted,
            "a frame is longer than Welcome.limits.max_frame_bytes; send less at once",
            quota("frame", "max_frame_bytes", None),
        ),
        End::NotFrames => Status::internal("what came is not a stream of gRPC messages"),
        End::Gone => Status::cancelled("the caller has left"),
    }
}

fn info(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, DOMAIN, HashMap::<String, String>::new())
}

fn precondition(violation: &str, subject: &str, description: &str) -> ErrorDetails {
    ErrorDetails::with_precondition_failure_violation(violation, subject, description)
}

fn quota(subject: &str, description: &str, retry: Option<Duration>) -> ErrorDetails {
    let mut details = ErrorDetails::with_quota_failure_violation(subject, description);
    if retry.is_some() {
        details.set_retry_info(retry);
    }
    details
}
