//! One session: what is to be sent on it, which requests have no reply yet, and whether the service responds. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use prost::Message;
use stubs::chat::v1::{self as pb, client_frame};

use super::rooms::JoinId;
use super::time::Time;
use crate::model::{RoomId, Seq, Start};
use crate::wire::convert;

/// How long a service may take to end a session after it said that it will.
const LEAVING: Duration = Duration::from_secs(60);

/// The heartbeat of a service that does not say.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long the service may take to reply before it is pinged, as a share of its heartbeat.
const REPLY: f64 = 0.5;

/// How long the service may be silent before it is pinged, in heartbeats.
const SILENCE: f64 = 1.5;

/// What a frame that has no reply yet asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The draft with this number in the outbox.
    Draft(u64),
    Join {
        room: RoomId,
        join: JoinId,
    },
    Leave,
    MarkRead {
        room: RoomId,
        seq: Seq,
    },
    RefreshToken,
}

/// Why a session has to be dropped.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unresponsive {
    /// The service was pinged, and nothing came.
    Silent,
    /// The service said that it would end the session, and has not.
    Lingering,
}

/// A token that does not fit into a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

#[derive(Debug)]
pub(super) struct Session {
    last_id: u64,
    /// Requests without a reply, by the ids of their frames.
    pending: HashMap<u64, Request>,
    /// How many of them count against `max_in_flight`.
    in_flight: usize,
    max_in_flight: usize,
    max_text_bytes: usize,
    max_frame_bytes: usize,
    /// Frames to send before all others, and that have no reply.
    notifications: VecDeque<client_frame::Body>,
    /// Requests to send, in this order.
    queue: VecDeque<(Request, client_frame::Body)>,
    heartbeat: Duration,
    /// When the last frame came.
    last_frame: Time,
    /// When the service was pinged, if nothing has come since.
    pinged: Option<Time>,
    opened: Time,
    /// How long the session has to last to count as a success.
    well_after: Duration,
    draining: Option<Draining>,
}

/// The service is about to end the session.
#[derive(Debug)]
struct Draining {
    reason: pb::DrainReason,
    /// When to connect again.
    reconnect_at: Time,
    /// When to stop waiting for the service to end the session.
    give_up_at: Time,
}

impl Session {
    pub(super) fn new(welcome: &pb::Welcome, well_after: Duration, now: Time) -> Self {
        let limits = welcome.limits.unwrap_or_default();
        let or_default = |limit: u32, default: usize| if limit == 0 { default } else { limit as usize };
        let heartbeat = convert::duration_from_wire(welcome.heartbeat).filter(|heartbeat| !heartbeat.is_zero());
        Self {
            // Hello was the first.
            last_id: 1,
            pending: HashMap::new(),
            in_flight: 0,
            max_in_flight: or_default(limits.max_in_flight, 64),
            max_text_bytes: or_default(limits.max_text_bytes, 8 * 1024),
            max_frame_bytes: or_default(limits.max_frame_bytes, usize::MAX),
            notifications: VecDeque::new(),
            queue: VecDeque::new(),
            heartbeat: heartbeat.unwrap_or(HEARTBEAT),
            last_frame: now,
            pinged: None,
            opened: now,
            well_after,
            draining: None,
        }
    }

    pub(super) fn max_text_bytes(&self) -> usize {
        self.max_text_bytes
    }

    /// Whether the session has lasted longer than the longest delay before it. A session that ends at once must not make the
    /// next attempt count as the first.
    pub(super) fn went_well(&self, now: Time) -> bool {
        self.age(now) >= self.well_after
    }

    pub(super) fn age(&self, now: Time) -> Duration {
        now.since(self.opened)
    }

    /// Returns the delay until the next attempt that the service asked for, if it did.
    pub(super) fn reconnect_in(&self, now: Time) -> Option<Duration> {
        self.draining.as_ref().map(|draining| draining.reconnect_at.since(now))
    }

    /// Returns why the service is about to end the session, if it said that it is.
    pub(super) fn drain_reason(&self) -> Option<pb::DrainReason> {
        self.draining.as_ref().map(|draining| draining.reason)
    }

    /// Notes that the service is there.
    pub(super) fn frame_received(&mut self, now: Time) {
        self.last_frame = now;
        self.pinged = None;
    }

    /// Returns the request that this is the reply to. Each has one reply.
    pub(super) fn reply_received(&mut self, reply_to: u64) -> Option<Request> {
        let request = self.pending.remove(&reply_to)?;
        if request.counts() {
            self.in_flight -= 1;
        }
        Some(request)
    }

    pub(super) fn drain(&mut self, draining: &pb::Draining, now: Time) {
        let reconnect_after = convert::duration_from_wire(draining.reconnect_after).unwrap_or_default();
        let give_up_at = self.draining.as_ref().map_or(now + LEAVING, |earlier| earlier.give_up_at);
        let reconnect_at = now + reconnect_after;
        self.draining = Some(Draining { reason: draining.reason(), reconnect_at, give_up_at });
    }

    pub(super) fn join(&mut self, room: &RoomId, join: JoinId, start: Start) {
        let request = Request::Join { room: room.clone(), join };
        self.queue.push_back((request, convert::join_to_wire(room, start)));
    }

    pub(super) fn leave(&mut self, room: &RoomId) {
        let leave = pb::Leave { room: room.to_string() };
        self.queue.push_back((Request::Leave, client_frame::Body::Leave(leave)));
    }

    pub(super) fn mark_read(&mut self, room: &RoomId, seq: Seq) {
        let mark = client_frame::Body::MarkRead(pb::MarkRead { room: room.to_string(), seq });
        self.queue.push_back((Request::MarkRead { room: room.clone(), seq }, mark));
    }

    pub(super) fn refresh_token(&mut self, token: String) {
        let refresh = client_frame::Body::RefreshToken(pb::RefreshToken { token });
        self.queue.push_back((Request::RefreshToken, refresh));
    }

    /// Takes back the requests that were not sent yet and fit.
    pub(super) fn withdraw(&mut self, fits: impl Fn(&Request) -> bool) -> Vec<Request> {
        let withdrawn: VecDeque<_>;
        (withdrawn, self.queue) = std::mem::take(&mut self.queue).into_iter().partition(|(request, _)| fits(request));
        withdrawn.into_iter().map(|(request, _)| request).collect()
    }

    pub(super) fn typing(&mut self, room: &RoomId) {
        self.notify(client_frame::Body::Typing(pb::Typing { room: room.to_string() }));
    }

    pub(super) fn pong(&mut self) {
        self.notify(client_frame::Body::Pong(pb::Pong {}));
    }

    /// Whether a draft may be sent now.
    pub(super) fn accepts_drafts(&self) -> bool {
        self.draining.is_none() && self.in_flight < self.max_in_flight
    }

    /// Whether all requests were sent and have a reply.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.queue.is_empty()
    }

    pub(super) fn has_frame(&self) -> bool {
        !self.notifications.is_empty() || self.queue.front().is_some_and(|(request, _)| self.accepts(request))
    }

    /// Returns the next frame to send before any draft.
    ///
    /// # Errors
    ///
    /// [`TooLong`] for a token, which is then skipped. No other request can be too long.
    pub(super) fn next_frame(&mut self) -> Option<Result<pb::ClientFrame, TooLong>> {
        if let Some(notification) = self.notifications.pop_front() {
            return Some(Ok(pb::ClientFrame { id: 0, body: Some(notification) }));
        }
        if !self.has_frame() {
            return None;
        }
        let (request, body) = self.queue.pop_front()?;
        Some(self.request(request, body).ok_or(TooLong))
    }

    /// Returns the frame of a request that is sent now; `None` if it is longer than the service accepts, which would end
    /// every session in which it is sent.
    pub(super) fn request(&mut self, request: Request, body: client_frame::Body) -> Option<pb::ClientFrame> {
        let frame = pb::ClientFrame { id: self.last_id + 1, body: Some(body) };
        if frame.encoded_len() > self.max_frame_bytes {
            return None;
        }
        self.last_id = frame.id;
        self.in_flight += usize::from(request.counts());
        self.pending.insert(frame.id, request);
        Some(frame)
    }

    /// # Errors
    ///
    /// [`Unresponsive`] if the session has to be dropped.
    pub(super) fn tick(&mut self, now: Time) -> Result<(), Unresponsive> {
        if self.draining.as_ref().is_some_and(|draining| now >= draining.give_up_at) {
            return Err(Unresponsive::Lingering);
        }
        if now < self.deadline() {
            return Ok(());
        }
        if self.pinged.is_some() {
            return Err(Unresponsive::Silent);
        }
        self.pinged = Some(now);
        self.notify(client_frame::Body::Ping(pb::Ping {}));
        Ok(())
    }

    /// Returns when [`Session::tick`] is due. The service pings a client that has been silent for a heartbeat, so a client
    /// that sends nothing receives something as often. While a reply is due the client pings sooner, since a caller may be
    /// waiting for it.
    pub(super) fn deadline(&self) -> Time {
        let silent = match self.pinged {
            Some(pinged) => pinged + self.heartbeat,
            None if self.pending.is_empty() => self.last_frame + self.heartbeat.mul_f64(SILENCE),
            None => self.last_frame + self.heartbeat.mul_f64(REPLY),
        };
        self.draining.as_ref().map_or(silent, |draining| draining.give_up_at.min(silent))
    }

    fn accepts(&self, request: &Request) -> bool {
        !request.counts() || self.in_flight < self.max_in_flight
    }

    /// Sends a notification, unless the same one has not been sent yet.
    fn notify(&mut self, notification: client_frame::Body) {
        if !self.notifications.contains(&notification) {
            self.notifications.push_back(notification);
        }
    }
}

impl Request {
    /// Whether it counts against `chat.v1.Limits.max_in_flight`.
    fn counts(&self) -> bool {
        matches!(self, Self::Draft(_) | Self::Join { .. } | Self::MarkRead { .. })
    }
}
