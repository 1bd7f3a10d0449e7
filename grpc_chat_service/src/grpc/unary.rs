//! The unary methods of `chat.v1.ChatService`.

use std::sync::Arc;

use bytes::Bytes;
use stubs::chat::v1 as pb;
use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use tonic::{Request, Response, Status};

use super::{caller, convert, status};
use crate::history::{Expected, RoomHead};
use crate::model::{Draft, Invalid, RoomId};
use crate::pages::{MessagesPage, PageLease, Pages, Range, RoomsPage};
use crate::posting::{Posting, Sent};
use crate::refusal::Refusal;
use crate::session::Context;
use crate::session::frame::ChangeRequest;

pub(super) fn server(context: &Arc<Context>) -> ChatServiceServer<Unary> {
    let pages = Pages::new(
        context.history.clone(),
        context.policy,
        Arc::clone(&context.rates),
        context.limits.room.page_bytes,
        context.budgets.pages.clone(),
    );
    let posting =
        Posting::new(context.history.clone(), context.policy, context.drain.clone(), Arc::clone(&context.rates));
    let max_text_bytes = context.limits.session.text_bytes;
    ChatServiceServer::new(Unary { pages, posting, max_text_bytes })
        // What is too long does not get this far, see `routed`.
        .max_decoding_message_size(usize::MAX)
}

/// The handler of the unary methods.
pub(super) struct Unary {
    pages: Pages,
    posting: Posting,
    max_text_bytes: usize,
}

#[tonic::async_trait]
impl ChatService for Unary {
    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        let caller = caller::caller(request.extensions())?;
        let pb::ListMessagesRequest { room, after_seq, before_seq, page_size } = request.into_inner();
        let room = convert::room_from_wire(&room).map_err(|refusal| status::from_refusal(&refusal))?;
        let range = Range { after: after_seq, before: before_seq, length: page_size };
        let page = self.pages.messages(&caller, room, range).await;
        let MessagesPage { events, epoch, head, lease, more } =
            page.map_err(|refusal| status::from_refusal(&refusal))?;
        let events = events.iter().map(convert::event_to_wire).collect();
        Ok(page_response(pb::ListMessagesResponse { events, epoch, head_seq: head, more }, lease))
    }

    async fn list_rooms(
        &self,
        request: Request<pb::ListRoomsRequest>,
    ) -> Result<Response<pb::ListRoomsResponse>, Status> {
        let caller = caller::caller(request.extensions())?;
        let pb::ListRoomsRequest { page_size, page_token } = request.into_inner();
        let after = token_from_wire(&page_token).map_err(|refusal| status::from_refusal(&refusal))?;
        let page = self.pages.rooms(&caller, after, page_size).await;
        let RoomsPage { rooms, lease, more } = page.map_err(|refusal| status::from_refusal(&refusal))?;
        // The token of the next page is the last room of this one.
        let next_page_token = rooms.last().filter(|_| more).map(|last| last.room.to_string()).unwrap_or_default();
        let rooms = rooms.into_iter().map(room_to_wire).collect();
        Ok(page_response(pb::ListRoomsResponse { rooms, next_page_token }, lease))
    }

    async fn send_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Result<Response<pb::SendMessageResponse>, Status> {
        let caller = caller::caller(request.extensions())?;
        let (draft, expected) = draft_from_wire(request.into_inner(), self.max_text_bytes)
            .map_err(|refusal| status::from_refusal(&refusal))?;
        let client_msg_id = Bytes::copy_from_slice(&draft.client_msg_id.0);
        let sent = self.posting.send(&caller, draft, expected).await;
        let Sent { appended, durability, epoch } = sent.map_err(|refusal| status::from_refusal(&refusal))?;
        Ok(Response::new(pb::SendMessageResponse {
            seq: appended.seq,
            time: Some(convert::time_to_wire(appended.time)),
            client_msg_id,
            duplicate: appended.duplicate,
            durability: convert::durability_to_wire(durability).into(),
            epoch,
        }))
    }
}

/// Returns the response with a page, which holds the lease until it has been sent.
fn page_response<T>(page: T, lease: PageLease) -> Response<T> {
    let mut response = Response::new(page);
    response.extensions_mut().insert(Arc::new(lease));
    response
}

fn draft_from_wire(request: pb::SendMessageRequest, max_text_bytes: usize) -> Result<(Draft, Expected), Refusal> {
    let pb::SendMessageRequest { user, room, text, client_msg_id, reply_to_seq, epoch, target_client_msg_id, device } =
        request;
    let send = pb::Send { room, text, client_msg_id, reply_to_seq, epoch, target_client_msg_id };
    let ChangeRequest { room, client_msg_id, change, expected, .. } = convert::send_from_wire(send, max_text_bytes)?;
    let (sender, device) = (convert::user_from_wire(&user)?, convert::device_from_wire(&device)?);
    Ok((Draft { room, sender, device, client_msg_id, change }, expected))
}

fn token_from_wire(token: &str) -> Result<Option<RoomId>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let invalid = |_| convert::field("page_token", Invalid("must be empty or a next_page_token"));
    RoomId::new(token).map(Some).map_err(invalid)
}

fn room_to_wire(RoomHead { room, head, time }: RoomHead) -> pb::Room {
    pb::Room { room: room.to_string(), head_seq: head, head_time: Some(convert::time_to_wire(time)) }
}
