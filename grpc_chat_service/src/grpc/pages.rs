//! The unary methods of `chat.v1.ChatService`.

use std::sync::Arc;

use stubs::chat::v1 as pb;
use stubs::chat::v1::chat_service_server::{ChatService, ChatServiceServer};
use tonic::{Request, Response, Status};

use super::{caller, convert, status};
use crate::history::RoomHead;
use crate::model::{Invalid, RoomId};
use crate::pages::{MessagesPage, Pages, Range, RoomsPage};
use crate::refusal::Refusal;
use crate::session::Context;

pub(super) fn server(context: &Arc<Context>) -> ChatServiceServer<Unary> {
    let pages = Pages::new(context.history.clone(), context.policy);
    ChatServiceServer::new(Unary { pages }).max_decoding_message_size(context.limits.connection.message_bytes)
}

/// The handler of the unary methods.
pub(super) struct Unary {
    pages: Pages,
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
        let MessagesPage { events, epoch, head, more } = page.map_err(|refusal| status::from_refusal(&refusal))?;
        let events = events.iter().map(convert::event_to_wire).collect();
        Ok(Response::new(pb::ListMessagesResponse { events, epoch, head_seq: head, more }))
    }

    async fn list_rooms(
        &self,
        request: Request<pb::ListRoomsRequest>,
    ) -> Result<Response<pb::ListRoomsResponse>, Status> {
        let caller = caller::caller(request.extensions())?;
        let pb::ListRoomsRequest { page_size, page_token } = request.into_inner();
        let after = token_from_wire(&page_token).map_err(|refusal| status::from_refusal(&refusal))?;
        let page = self.pages.rooms(&caller, after, page_size).await;
        let RoomsPage { rooms, more } = page.map_err(|refusal| status::from_refusal(&refusal))?;
        // The token of the next page is the last room of this one.
        let next_page_token = rooms.last().filter(|_| more).map(|last| last.room.to_string()).unwrap_or_default();
        let rooms = rooms.into_iter().map(room_to_wire).collect();
        Ok(Response::new(pb::ListRoomsResponse { rooms, next_page_token }))
    }
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
