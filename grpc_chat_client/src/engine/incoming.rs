//! What the engine does about a frame from the service.

use stubs::chat::v1::{self as pb, server_frame};
use tonic::{Code, Status};

use super::hold::Hold;
use super::rooms::{JoinId, JoinReply, Sequence};
use super::session::Request;
use super::time::Time;
use super::{Delay, Engine, Phase, REPORTED};
use crate::error::{JoinError, Refused, SendError};
use crate::model::{ConnectionState, RoomId, Seq, Update};
use crate::wire::convert::{self, is_transient};

/// The rate of rooms that a user creates, in a refusal. It is the rate of one room only.
const NEW_ROOMS: &str = "new_rooms";

/// The kinds of requests that wait together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Changes,
    Joins,
}

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
        self.changes.succeeded();
        let removed = self.outbox.remove(number);
        if self.delay == Some(Delay::Unavailable) || self.outbox.is_empty() {
            self.delay = None;
        }
        if let Some(queued) = removed {
            self.remove_saved(queued.draft.id);
            queued.resolve(Ok(ack));
            self.deliver(Update::Unsent(self.outbox.len()));
        }
    }

    fn joined(&mut self, room: &RoomId, join: JoinId, joined: &pb::Joined) {
        let mut update = convert::joined_from_wire(room, joined);
        // The room may have been left, or joined again, meanwhile.
        let accepted = self.rooms.joined(join, &mut update, joined.present.clone(), joined.present_count);
        self.joins.succeeded();
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
                if convert::rate(status).is_some_and(|rate| rate == NEW_ROOMS) {
                    self.hold_room_of(number, status, now);
                } else {
                    self.hold(Kind::Changes, status, now);
                    if status.code() == Code::ResourceExhausted {
                        self.outbox.slow_down();
                    }
                }
                self.outbox.refused(number);
                self.report_delay(status);
            }
            Request::Draft(number) => self.draft_refused(number, Refused::from(status)),
            // Without a hint there are more rooms than a session may have, and waiting does not help.
            Request::Join { room, join } if transient && convert::retry_hint(status).is_some() => {
                self.rooms.retry_join(&room, join);
                self.hold(Kind::Joins, status, now);
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
                self.hold(Kind::Changes, status, now);
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

    /// The service has refused a request that it may carry out later: sends none of its kind for a while, or none at all if it
    /// was not refused because of a rate.
    fn hold(&mut self, kind: Kind, status: &Status, now: Time) {
        let hint = convert::retry_hint(status).unwrap_or_default();
        let by_rate = convert::rate(status).is_some();
        let Self { changes, joins, random, settings, .. } = self;
        let mut refused = |hold: &mut Hold| hold.refused(hint, by_rate, settings.backoff, now, random);
        let begins = match kind {
            Kind::Changes => refused(changes),
            Kind::Joins => refused(joins),
        };
        if !by_rate {
            match kind {
                Kind::Changes => refused(joins),
                Kind::Joins => refused(changes),
            };
        }
        self.withdraw_held();
        if kind == Kind::Joins && begins && hint >= REPORTED {
            self.deliver(Update::RequestDelayed(Refused::from(status)));
        }
    }

    /// Takes back the requests that were about to be sent and now have to wait.
    fn withdraw_held(&mut self) {
        let (changes, joins) = (self.changes.is_active(), self.joins.is_active());
        let Some(session) = self.session() else { return };
        let withdrawn = session.withdraw(|request| match request {
            Request::Join { .. } => joins,
            Request::MarkRead { .. } => changes,
            _ => false,
        });
        for request in withdrawn {
            match request {
                Request::Join { room, join } => self.rooms.retry_join(&room, join),
                Request::MarkRead { room, .. } => self.read_marks.not_in_flight(&room),
                _ => {}
            }
        }
    }

    /// The room of this draft would be one new room too many: sends nothing to it for a while.
    fn hold_room_of(&mut self, number: u64, status: &Status, now: Time) {
        let spread = self.settings.backoff.delay(0, &mut self.random);
        let hint = convert::retry_hint(status).unwrap_or_default();
        self.outbox.hold_room_of(number, now + hint + spread);
    }

    /// Reports why a draft is not stored, unless the application knows that.
    fn report_delay(&mut self, status: &Status) {
        // It was sent before the news came that the session ends: the next session takes it.
        if convert::has_reason(status, pb::Reason::SessionEnding) {
            return;
        }
        let delay = if convert::rate(status).is_some() { Delay::OverRate } else { Delay::Unavailable };
        if self.delay.replace(delay) != Some(delay) {
            self.deliver(Update::SendDelayed(Refused::from(status)));
        }
    }
}
