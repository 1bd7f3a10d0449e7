//! One session as the client sees it: what it has to say, what it waits for, and whether the other side is there. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use prost::Message;
use stubs::chat::v1::{self as pb, client_frame};
use tokio::time::Instant;

use super::rooms::Ticket;
use super::{ANSWER, HEARTBEAT};
use crate::model::{RoomId, Seq, Start};
use crate::wire::convert;

/// How long a service that says it is leaving may take to leave.
const LEAVING: Duration = Duration::from_secs(60);

/// A frame that the service has not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The draft with this number in the outbox.
    Draft(u64),
    Join {
        room: RoomId,
        ticket: Ticket,
    },
    Leave,
    Mark {
        room: RoomId,
        seq: Seq,
    },
    Token,
}

/// Why a session is not gone on with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deaf {
    /// The service was asked whether it is there, and nothing came.
    Silent,
    /// The service said that it leaves, and has not left.
    Lingering,
}

/// A token that no frame can carry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

#[derive(Debug)]
pub(super) struct Session {
    last_id: u64,
    asked: HashMap<u64, Asked>,
    /// Those of them that count against `max_in_flight`.
    in_flight: usize,
    max_in_flight: usize,
    max_text_bytes: usize,
    max_frame_bytes: usize,
    /// To be said before anything else, and not answered.
    signs: VecDeque<client_frame::Body>,
    /// To be said, in this order.
    requests: VecDeque<(Asked, client_frame::Body)>,
    heartbeat: Duration,
    heard: Instant,
    /// When the service was asked whether it is there, if it has not been heard since.
    pinged: Option<Instant>,
    opened: Instant,
    /// How long it has to last to have gone well.
    well_after: Duration,
    /// The service is leaving, and when to connect again; and by when it has to have left.
    draining: Option<Instant>,
    left_by: Option<Instant>,
}

impl Session {
    pub(super) fn new(welcome: &pb::Welcome, well_after: Duration, now: Instant) -> Self {
        let limits = welcome.limits.unwrap_or_default();
        let told = |limit: u32, otherwise: usize| if limit == 0 { otherwise } else { limit as usize };
        let heartbeat = convert::duration_from_wire(welcome.heartbeat).filter(|heartbeat| !heartbeat.is_zero());
        Self {
            // Hello was the first.
            last_id: 1,
            asked: HashMap::new(),
            in_flight: 0,
            max_in_flight: told(limits.max_in_flight, 64),
            max_text_bytes: told(limits.max_text_bytes, 8 * 1024),
            max_frame_bytes: told(limits.max_frame_bytes, usize::MAX),
            signs: VecDeque::new(),
            requests: VecDeque::new(),
            heartbeat: heartbeat.unwrap_or(HEARTBEAT),
            heard: now,
            pinged: None,
            opened: now,
            well_after,
            draining: None,
            left_by: None,
        }
    }

    pub(super) fn max_text_bytes(&self) -> usize {
        self.max_text_bytes
    }

    /// Whether it has lasted longer than the longest delay before it. One that ends at once does not make the next
    /// attempt the first.
    pub(super) fn went_well(&self, now: Instant) -> bool {
        self.age(now) >= self.well_after
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.opened)
    }

    /// What the service said about when to connect again, if it did.
    pub(super) fn reconnect_in(&self, now: Instant) -> Option<Duration> {
        self.draining.map(|at| at.saturating_duration_since(now))
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = None;
    }

    /// What the frame with this id asked for. Each is answered once.
    pub(super) fn answered(&mut self, reply_to: u64) -> Option<Asked> {
        let asked = self.asked.remove(&reply_to)?;
        if asked.counts() {
            self.in_flight -= 1;
        }
        Some(asked)
    }

    pub(super) fn drain(&mut self, draining: &pb::Draining, now: Instant) {
        let after = convert::duration_from_wire(draining.reconnect_after).unwrap_or_default();
        self.draining = Some(now + after);
        self.left_by.get_or_insert(now + LEAVING);
    }

    pub(super) fn join(&mut self, room: &RoomId, ticket: Ticket, start: Start) {
        let asked = Asked::Join { room: room.clone(), ticket };
        self.requests.push_back((asked, convert::join_to_wire(room, start)));
    }

    pub(super) fn leave(&mut self, room: &RoomId) {
        self.requests.push_back((Asked::Leave, client_frame::Body::Leave(pb::Leave { room: room.to_string() })));
    }

    pub(super) fn mark(&mut self, room: &RoomId, seq: Seq) {
        let mark = client_frame::Body::MarkRead(pb::MarkRead { room: room.to_string(), seq });
        self.requests.push_back((Asked::Mark { room: room.clone(), seq }, mark));
    }

    pub(super) fn token(&mut self, token: String) {
        self.requests.push_back((Asked::Token, client_frame::Body::RefreshToken(pb::RefreshToken { token })));
    }

    pub(super) fn typing(&mut self, room: &RoomId) {
        let typing = client_frame::Body::Typing(pb::Typing { room: room.to_string() });
        // A hint that has not gone out yet says it for this one, too.
        if !self.signs.contains(&typing) {
            self.signs.push_back(typing);
        }
    }

    pub(super) fn pong(&mut self) {
        self.sign(client_frame::Body::Pong(pb::Pong {}));
    }

    /// Whether a draft may be sent now.
    pub(super) fn takes_drafts(&self) -> bool {
        self.draining.is_none() && self.in_flight < self.max_in_flight
    }

    /// Whether everything has been said, and answered.
    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.requests.is_empty()
    }

    pub(super) fn has_frame(&self) -> bool {
        !self.signs.is_empty() || self.requests.front().is_some_and(|(asked, _)| self.takes(asked))
    }

    /// What is to be said next, before any draft. Of what is asked for here only a token can be too long.
    pub(super) fn next_frame(&mut self) -> Option<Result<pb::ClientFrame, TooLong>> {
        if let Some(sign) = self.signs.pop_front() {
            return Some(Ok(pb::ClientFrame { id: 0, body: Some(sign) }));
        }
        if !self.has_frame() {
            return None;
        }
        let (asked, body) = self.requests.pop_front()?;
        Some(self.ask(asked, body).ok_or(TooLong))
    }

    /// The frame that asks for this; `None` if it is longer than the service takes: it would end the session, however
    /// often it is opened.
    pub(super) fn ask(&mut self, asked: Asked, body: client_frame::Body) -> Option<pb::ClientFrame> {
        let frame = pb::ClientFrame { id: self.last_id + 1, body: Some(body) };
        if frame.encoded_len() > self.max_frame_bytes {
            return None;
        }
        self.last_id = frame.id;
        self.in_flight += usize::from(asked.counts());
        self.asked.insert(frame.id, asked);
        Some(frame)
    }

    /// # Errors
    ///
    /// [`Deaf`] if the session is not to be gone on with.
    pub(super) fn tick(&mut self, now: Instant) -> Result<(), Deaf> {
        if self.left_by.is_some_and(|left_by| now >= left_by) {
            return Err(Deaf::Lingering);
        }
        if now < self.deadline() {
            return Ok(());
        }
        if self.pinged.is_some() {
            return Err(Deaf::Silent);
        }
        self.pinged = Some(now);
        self.sign(client_frame::Body::Ping(pb::Ping {}));
        Ok(())
    }

    /// The service pings a client that is silent for a heartbeat, so that one that sends nothing hears something as often.
    /// One that waits for an answer asks sooner, because somebody may be waiting with it.
    pub(super) fn deadline(&self) -> Instant {
        let silent = match self.pinged {
            Some(pinged) => pinged + self.heartbeat,
            None if self.asked.is_empty() => self.heard + self.heartbeat.mul_f64(1.5),
            None => self.heard + self.heartbeat.mul_f64(ANSWER),
        };
        self.left_by.map_or(silent, |left_by| left_by.min(silent))
    }

    fn takes(&self, asked: &Asked) -> bool {
        !asked.counts() || self.in_flight < self.max_in_flight
    }

    fn sign(&mut self, sign: client_frame::Body) {
        if !self.signs.contains(&sign) {
            self.signs.push_back(sign);
        }
    }
}

impl Asked {
    /// "Frames not yet answered that need the history" (`chat.v1.Limits.max_in_flight`).
    fn counts(&self) -> bool {
        matches!(self, Self::Draft(_) | Self::Join { .. } | Self::Mark { .. })
    }
}
