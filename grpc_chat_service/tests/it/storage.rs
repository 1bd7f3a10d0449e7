//! What is stored, and what happens when it cannot be.

use tonic::Code;

use crate::support::frames::{delete, edit};
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
