//! What the engine does about a frame from the service.

use stubs::chat::v1::{self as pb, server_frame};
use tonic::Status;

use super::rooms::{JoinId, JoinReply, Sequence};
use super::session::Request;
use super::time::Time;
use super::{Engine, Phase};
use crate::error::{JoinError, Refused, SendError};
use crate::model::{ConnectionState, RoomId, Seq, Update};
use crate::wire::convert::{self, is_transient};

impl Engine {
    pub(crate) fn frame_received(&mut self, frame: pb::ServerFrame, now: Time) {
        let Phase::Online(session) = &mut self.phase else { return };
        session.frame_received(now);
        let pb::ServerFrame { reply_to, body } = frame;
        match (session.reply_received(reply_to), body) {
            (None, Some(body)) => self.pushed(body, now),
            // A frame of a later version of the protocol.
            (None, None) => {}
            (Some(Request::Draft(number)), Some(server_frame::Body::Ack(ack))) => self.acked(number, &ack, now),
            (Some(Request::Join { room, join }), Some(server_frame::Body::Joined(joined))) if room == *joined.room => {
                self.joined(&room, join, &joined);
            }
            (Some(Request::MarkRead { room, seq }), Some(server_frame::Body::Done(_))) => {
                self.read_marks.not_in_flight(&room);
                self.read_mark_stored(room.clone(), seq);
                self.send_read_mark(&room);
            }
            (Some(Request::RefreshToken), Some(server_frame::Body::Done(_))) => self.tokens.replied(&Ok(())),
            (Some(Request::Leave), Some(server_frame::Body::Done(_))) => {}
            (Some(request), Some(server_frame::Body::Error(error))) => {
                self.request_refused(request, &convert::status_from_wire(error), now);
            }
            // What became of the request is not known; it is sent again in another session.
            (Some(request), _) => {
                tracing::warn!(?request, "the reply does not fit the request");
                self.drop_session(&Status::internal("the service sent a reply that this client does not know"), now);
            }
        }
    }

    /// A frame has come that is no reply.
    fn pushed(&mut self, body: server_frame::Body, now: Time) {
        match body {
            server_frame::Body::Event(event) => self.event(event, now),
            server_frame::Body::CaughtUp(pb::CaughtUp { room, seq }) => {
                if let Some(room) = self.rooms.caught_up(&room) {
                    self.deliver(Update::CaughtUp { room, seq });
                    self.send_joins();
                }
            }
            server_frame::Body::PresenceChanged(changed) => {
                if let Some(update) = self.rooms.presence_changed(changed) {
                    self.deliver(update);
                }
            }
            server_frame::Body::TypingChanged(pb::TypingChanged { room, users }) => {
                if let Some(room) = self.rooms.received(&room) {
                    self.deliver(Update::Typing { room, users });
                }
            }
            server_frame::Body::ReadChanged(pb::ReadChanged { room, seq }) => {
                if let Some(room) = self.rooms.received(&room) {
                    self.read_mark_stored(room, seq);
                }
            }
            server_frame::Body::Draining(draining) => {
                if let Some(session) = self.session() {
                    session.drain(&draining, now);
                }
                self.deliver(Update::Connection(ConnectionState::Draining));
            }
            server_frame::Body::Ping(pb::Ping {}) => {
                if let Some(session) = self.session() {
                    session.pong();
                }
            }
            server_frame::Body::Error(error) => {
                let status = convert::status_from_wire(error);
                tracing::warn!(code = ?status.code(), why = status.message(), "the service refused a frame");
            }
            // Replies to requests that are no longer pending.
            server_frame::Body::Ack(_)
            | server_frame::Body::Joined(_)
            | server_frame::Body::Done(_)
            | server_frame::Body::Welcome(_)
            | server_frame::Body::Pong(_) => {}
        }
    }

    fn event(&mut self, event: pb::Event, now: Time) {
        match self.rooms.event(&event) {
            Sequence::Next(room) => self.deliver(Update::Event(convert::event_from_wire(&room, event))),
            // It was under way when the room was left.
            Sequence::NotReceived => {}
            Sequence::Repeated => {
                tracing::warn!(room = event.room, seq = event.seq, "the service repeated an event");
            }
            Sequence::Gap { last } => {
                tracing::warn!(room = event.room, seq = event.seq, prev = event.prev_seq, last, "events are missing");
                self.drop_session(&Status::internal("the service left out events"), now);
            }
        }
    }

    fn acked(&mut self, number: u64, ack: &pb::Ack, now: Time) {
        let id = self.outbox.id(number);
        let Some(ack) = convert::ack_from_wire(ack).filter(|ack| id.is_none_or(|id| id == ack.id)) else {
            return self.drop_session(&Status::internal("the service acked another message than was sent"), now);
        };
        self.refusals = 0;
        self.delay_reported = false;
        if let Some(queued) = self.outbox.remove(number) {
            self.remove_saved(queued.draft.id);
            queued.resolve(Ok(ack));
            self.deliver(Update::Unsent(self.outbox.len()));
        }
    }

    fn joined(&mut self, room: &RoomId, join: JoinId, joined: &pb::Joined) {
        let mut update = convert::joined_from_wire(room, joined);
        // The room may have been left, or joined again, meanwhile.
        let accepted = self.rooms.joined(join, &mut update, joined.present.clone(), joined.present_count);
        let Some((reply, present)) = accepted else { return };
        self.read_marks.joined(&update);
        if self.paused
            && self.rooms.suspend(room)
            && let Some(session) = self.session()
        {
            session.leave(room);
        }
        self.deliver(Update::Joined(update.clone()));
        self.deliver(present);
        if let Some(reply) = reply {
            // The caller may have stopped waiting.
            let _ = reply.send(Ok(update));
        }
    }

    fn request_refused(&mut self, request: Request, status: &Status, now: Time) {
        let transient = is_transient(status.code());
        match request {
            Request::Draft(number) if transient => {
                self.outbox.retry(number);
                self.hold(status, now);
                // It was sent before the news came that the session ends: the next session takes it.
                let ending = convert::has_reason(status, pb::Reason::SessionEnding);
                if !ending && !std::mem::replace(&mut self.delay_reported, true) {
                    self.deliver(Update::SendDelayed(Refused::from(status)));
                }
            }
            Request::Draft(number) => self.draft_refused(number, Refused::from(status)),
            // Without a hint there are more rooms than a session may have, and waiting does not help.
            Request::Join { room, join } if transient && convert::retry_hint(status).is_some() => {
                self.rooms.retry_join(&room, join);
                self.hold(status, now);
            }
            Request::Join { room, join } => {
                let Some(reply) = self.rooms.join_refused(&room, join) else { return };
                // An earlier Join of the room may still hold. Where none does, the service refuses the Leave, too.
                if let Some(session) = self.session() {
                    session.leave(&room);
                }
                self.room_refused(room, reply, Refused::from(status));
                self.send_joins();
            }
            Request::MarkRead { room, .. } if transient => {
                self.read_marks.not_in_flight(&room);
                self.hold(status, now);
            }
            Request::MarkRead { room, seq } => {
                tracing::warn!(%room, seq, code = ?status.code(), "the service refused a read mark");
                self.read_marks.refused(&room, seq);
                self.send_read_mark(&room);
            }
            // The room was not joined in this session.
            Request::Leave => {}
            Request::RefreshToken => {
                tracing::warn!(code = ?status.code(), why = status.message(), "the service refused the new token");
                self.tokens.replied(&Err(Refused::from(status)));
            }
        }
    }

    /// A room will not be received.
    pub(super) fn room_refused(&mut self, room: RoomId, reply: Option<JoinReply>, why: Refused) {
        if let Some(reply) = reply {
            let _ = reply.send(Err(JoinError::Refused(why.clone())));
        }
        self.deliver(Update::JoinRefused { room, why });
    }

    /// A draft will not be stored.
    pub(super) fn draft_refused(&mut self, number: u64, why: Refused) {
        let Some(queued) = self.outbox.remove(number) else { return };
        self.remove_saved(queued.draft.id);
        if let Some(draft) = queued.resolve(Err(SendError::Refused(why.clone()))) {
            self.deliver(Update::Refused { draft, why });
        }
        self.deliver(Update::Unsent(self.outbox.len()));
    }

    fn read_mark_stored(&mut self, room: RoomId, seq: Seq) {
        if self.read_marks.stored(&room, seq) {
            self.deliver(Update::Read { room, seq });
        }
    }

    /// The service cannot take requests just now: sends none for a while.
    fn hold(&mut self, status: &Status, now: Time) {
        let spread = self.settings.backoff.delay(self.refusals, &mut self.random);
        let until = now + convert::retry_hint(status).unwrap_or_default() + spread;
        // Everything in flight is refused together, which counts as one refusal.
        if self.hold_until.is_none() {
            self.refusals = self.refusals.saturating_add(1);
        }
        self.hold_until = Some(self.hold_until.map_or(until, |held| held.max(until)));
    }
}
