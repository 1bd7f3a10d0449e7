//! Converts what the client library delivers to the types of the wire, which the checker takes.

use grpc_chat_client::{Body, Event, Joined, ResetReason, Verdict};
use stubs::chat::v1 as pb;

use super::checker::EventDigest;

/// Returns the digest of the event as the history must have it, to the last byte.
pub(crate) fn event_digest(event: &Event) -> EventDigest {
    let Event { room, seq, prev_seq, time, sender, device, id, body } = event;
    let body = match body {
        Body::Posted { text, reply_to, erased } => {
            let reply_to_seq = reply_to.unwrap_or(0);
            Some(pb::event::Body::Posted(pb::Posted { text: text.clone(), reply_to_seq, erased: *erased }))
        }
        // The applications send nothing else.
        _ => None,
    };
    EventDigest::of(&pb::Event {
        room: room.to_string(),
        seq: *seq,
        prev_seq: *prev_seq,
        time: Some((*time).into()),
        sender: sender.clone(),
        device: device.clone(),
        client_msg_id: id.0.to_vec().into(),
        body,
    })
}

/// Returns the Joined frame that the library has received.
pub(crate) fn joined(joined: &Joined) -> pb::Joined {
    let Joined { room, verdict, epoch, start, start_id: _, head, oldest, read } = joined;
    let (verdict, reset_reason) = match verdict {
        Verdict::Live => (pb::Verdict::Live, pb::ResetReason::Unspecified),
        Verdict::Recovered => (pb::Verdict::Recovered, pb::ResetReason::Unspecified),
        Verdict::Reset(why) => {
            let why = match why {
                ResetReason::Epoch => pb::ResetReason::Epoch,
                ResetReason::Ahead => pb::ResetReason::Ahead,
                ResetReason::Expired => pb::ResetReason::Expired,
                ResetReason::Forked => pb::ResetReason::Forked,
                _ => pb::ResetReason::Unspecified,
            };
            (pb::Verdict::Reset, why)
        }
    };
    pb::Joined {
        room: room.to_string(),
        verdict: verdict.into(),
        reset_reason: reset_reason.into(),
        epoch: *epoch,
        start_seq: *start,
        head_seq: *head,
        oldest_seq: *oldest,
        read_seq: *read,
        ..pb::Joined::default()
    }
}
