//! Messages posted without a session.

use bytes::Bytes;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::frames::{new_msg_id, pb};
use crate::support::refusal::Refusal;
use crate::support::server::{TestServer, start};
use crate::support::session::Session;
use crate::support::{channel, with_timeout};

async fn client_of(server: &TestServer) -> ChatServiceClient<Channel> {
    ChatServiceClient::new(channel(server.addr).await)
}

async fn send(
    client: &mut ChatServiceClient<Channel>,
    request: pb::SendMessageRequest,
) -> Result<pb::SendMessageResponse, Refusal> {
    with_timeout(client.send_message(request)).await.map(tonic::Response::into_inner).map_err(Refusal::from)
}

fn hi(client_msg_id: Bytes) -> pb::SendMessageRequest {
    let (user, room, text) = ("bot".to_owned(), "r".to_owned(), "Hi".to_owned());
    pb::SendMessageRequest { user, room, text, client_msg_id, ..pb::SendMessageRequest::default() }
}

#[tokio::test]
async fn a_message_is_stored_once_and_delivered() {
    let server = start().await;
    let mut ann = Session::open(server.addr, "ann").await;
    let epoch = ann.join_live("r").await.epoch;
    let mut client = client_of(&server).await;
    let id = new_msg_id();
    let request = pb::SendMessageRequest { device: "cron".to_owned(), ..hi(id.clone()) };
    let sent = send(&mut client, request.clone()).await.unwrap();
    assert_eq!((sent.seq, sent.duplicate, sent.epoch), (1, false, epoch));
    assert_eq!((sent.client_msg_id.clone(), sent.durability()), (id, pb::Durability::Memory));
    let event = ann.next_event("r").await;
    assert_eq!((event.sender.as_str(), event.device.as_str(), event.time), ("bot", "cron", sent.time));
    let again = send(&mut client, request).await.unwrap();
    assert_eq!(again, pb::SendMessageResponse { duplicate: true, ..sent });
    assert!(ann.receives_nothing().await);
}

#[tokio::test]
async fn without_an_id_every_call_is_another_message() {
    let server = start().await;
    let mut client = client_of(&server).await;
    let first = send(&mut client, hi(Bytes::new())).await.unwrap();
    let second = send(&mut client, hi(Bytes::new())).await.unwrap();
    assert_eq!((first.seq, second.seq), (1, 2));
    assert_eq!(first.client_msg_id.len(), 16);
    assert_ne!(first.client_msg_id, second.client_msg_id);
}

#[tokio::test]
async fn it_is_refused_like_a_frame() {
    let server = start().await;
    let mut client = client_of(&server).await;
    let id = new_msg_id();
    send(&mut client, hi(id.clone())).await.unwrap();
    for (request, field) in [
        (pb::SendMessageRequest { user: String::new(), ..hi(new_msg_id()) }, "user"),
        (pb::SendMessageRequest { room: "a b".to_owned(), ..hi(new_msg_id()) }, "room"),
        (pb::SendMessageRequest { text: String::new(), ..hi(new_msg_id()) }, "text"),
        (hi(Bytes::from_static(b"short")), "client_msg_id"),
        (pb::SendMessageRequest { device: "a/b".to_owned(), ..hi(new_msg_id()) }, "device"),
    ] {
        let refusal = send(&mut client, request).await.unwrap_err();
        assert_eq!((refusal.code, refusal.fields()), (Code::InvalidArgument, vec![field]));
    }
    let other = pb::SendMessageRequest { text: "Ho".to_owned(), ..hi(id) };
    assert_eq!(send(&mut client, other).await.unwrap_err().reason(), "CLIENT_MSG_ID_REUSED");
    let reply = pb::SendMessageRequest { reply_to_seq: 9, ..hi(new_msg_id()) };
    assert_eq!(send(&mut client, reply).await.unwrap_err().code, Code::NotFound);
    let elsewhere = pb::SendMessageRequest { reply_to_seq: 1, epoch: 1, ..hi(new_msg_id()) };
    assert_eq!(send(&mut client, elsewhere).await.unwrap_err().reason(), "OTHER_EPOCH");
    let forked = pb::SendMessageRequest { reply_to_seq: 1, target_client_msg_id: new_msg_id(), ..hi(new_msg_id()) };
    assert_eq!(send(&mut client, forked).await.unwrap_err().reason(), "FORKED");
}
