//! Replies that a client does not read: beyond a limit they end its session.

use tonic::Code;
use tonic_types::StatusExt;

use crate::support::frames::{join, leave, send};
use crate::support::http2::Http2Client;
use crate::support::raw_session::{RawSession, decode_frames};
use crate::support::server::start_with_limits;
use crate::support::session::Session;

#[tokio::test]
async fn unread_replies_end_only_their_own_session() {
    const LIMIT: usize = 20_000;
    let server = start_with_limits(|limits| limits.session.unread_reply_bytes = LIMIT).await;
    let mut client = Http2Client::connect(server.addr).await;
    let mut other = RawSession::open_on(&mut client, "bob").await;
    assert_eq!(decode_frames(&other.next_data().await).len(), 1, "Welcome");
    let mut ann = RawSession::open_on(&mut client, "ann").await;
    for id in 2..4000 {
        // Each of these is refused, and the reply is longer than the request.
        if !ann.send_frame(id, leave("r")).await {
            // The session has ended.
            break;
        }
    }
    assert!(other.send_frame(2, send("r", "Hi")).await);
    other.next_data().await;

    let (bytes, status) = ann.read_to_end().await;
    // The window of the stream, what was buffered behind it, and the limit.
    assert!((65_535..65_535 + 3 * LIMIT).contains(&bytes.len()), "{}", bytes.len());
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_error_details().retry_info().is_some());
    assert!(other.send_frame(3, send("r", "Hi")).await);
    other.next_data().await;
}

#[tokio::test]
async fn unread_replies_to_joins_end_the_session() {
    let server = start_with_limits(|limits| limits.session.unread_reply_bytes = 5_000).await;
    let mut ann = RawSession::open(server.addr, "ann").await;
    for id in 2..6000 {
        if !ann.send_frame(id, join("r", None)).await {
            break;
        }
    }
    assert_eq!(ann.read_to_end().await.1.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_client_that_reads_may_request_more_than_it_may_leave_unread() {
    let server = start_with_limits(|limits| limits.session.unread_reply_bytes = 5_000).await;
    let mut ann = Session::open(server.addr, "ann").await;
    let bodies = (0..200).flat_map(|_| [leave("no"), join("r", None), send("r", "Hi")]);
    let ids: Vec<u64> = bodies.map(|body| ann.send_frame(body)).collect();
    for id in ids {
        ann.reply(id).await;
    }
    ann.half_close();
    ann.read_to_end().await.1.unwrap();
}
