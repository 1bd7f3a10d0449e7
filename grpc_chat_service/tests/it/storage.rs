//! What is stored, and what happens when it cannot be.

use tonic::Code;

use crate::support::frames::{ClientBody, delete, edit, is_event, pb, react, send};
use crate::support::server::start;
use crate::support::session::Session;

#[tokio::test]
async fn a_message_is_edited_a_hundred_times_and_no_more() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let seq = ann.post("r", "Hi").await;
    for n in 1..=100 {
        ann.expect_ack(edit("r", seq, &format!("Hi {n}"))).await;
    }
    let refusal = ann.expect_refusal(edit("r", seq, "Hi again")).await;
    assert_eq!((refusal.code, refusal.reason()), (Code::FailedPrecondition, "TOO_MANY_EDITS"));
    assert_eq!(refusal.precondition(), "TOO_MANY_EDITS");
    assert!(refusal.message.contains("100 times"), "{}", refusal.message);
    ann.expect_ack(delete("r", seq)).await;
}

#[tokio::test]
async fn a_reaction_that_changes_nothing_is_acked_and_is_no_event() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let message = ann.expect_ack(send("r", "Hi")).await;
    let absent = ann.expect_ack(react("r", message.seq, "👍", true)).await;
    assert_eq!((absent.seq, absent.time, absent.duplicate), (message.seq, message.time, true));
    ann.join_live("r").await;
    let added = ann.expect_ack(react("r", message.seq, "👍", false)).await;
    assert!(!added.duplicate);
    let body = react("r", message.seq, "👍", false);
    let ClientBody::React(asked) = &body else { unreachable!() };
    let client_msg_id = asked.client_msg_id.clone();
    let again = ann.expect_ack(body).await;
    assert_eq!(again, pb::Ack { client_msg_id, duplicate: true, ..added });
    ann.half_close();
    let (frames, end) = ann.read_to_end().await;
    end.unwrap();
    assert_eq!(frames.iter().filter(|frame| is_event(frame)).count(), 1);
}
