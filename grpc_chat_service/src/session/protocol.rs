//! The session protocol as a pure state machine: inputs go in, and actions come out of its queue. It does no I/O, and
//! the time is passed to it.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use crate::access::{Caller, Policy, ReadPermit, WritePermit};
use crate::history::{AppendError, Appended, Expected, ReadError, RoomState};
use crate::limits::SessionLimits;
use crate::model::{ClientMsgId, DeviceId, Draft, Durability, Epoch, RoomId, Seq, UserId};
use crate::refusal::Refusal;
use crate::session::frame::{Body, ChangeRequest, DrainReason, End, Hello, Inbound, Joined, Request, Start, Verdict};

/// What the session has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Open the session and reply with Welcome.
    Welcome { reply_to: u64, user: UserId, client: String },
    /// Send a frame. With `reply_to` 0 it is not a reply.
    Send { reply_to: u64, body: Body },
    /// Append the draft, then call [`Protocol::appended`].
    Append { id: u64, permit: WritePermit, draft: Draft, expected: Expected },
    /// Read the state of the room, then call [`Protocol::state_read`].
    ReadState { id: u64, permit: ReadPermit, user: UserId, start: Start },
    /// Send `joined`, then deliver the room from `joined.start`, replacing an earlier reader of it.
    Seat { reply_to: u64, permit: ReadPermit, user: UserId, joined: Joined },
    /// Stop delivering the room.
    Leave { room: RoomId },
    /// Store the read mark, then call [`Protocol::marked`].
    MarkRead { id: u64, permit: ReadPermit, user: UserId, seq: Seq },
    /// Show the user as typing.
    Typing { permit: WritePermit, user: UserId },
    /// Announce the end of the session.
    SendDraining { reason: DrainReason },
    /// Deliver what these rooms, all that are joined, hold now; then end with [`End::Completed`].
    Finish { rooms: Vec<ReadPermit> },
    /// Send the queued replies, then end.
    End(End),
}

/// What a protocol needs to know from the start.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) caller: Caller,
    /// The caller is the user that it says it is in Hello; otherwise it stays a caller from an address.
    pub(crate) named: bool,
    pub(crate) policy: Policy,
    pub(crate) limits: SessionLimits,
    pub(crate) epoch: Epoch,
    pub(crate) durability: Durability,
}

/// The protocol of one session, from before Hello to its end.
#[derive(Debug)]
pub(crate) struct Protocol {
    settings: Settings,
    /// See [`Hello::heartbeats`].
    heartbeats: bool,
    phase: Phase,
    actions: VecDeque<Action>,
    /// The highest frame id so far.
    last_id: u64,
    /// Appends, state reads and read marks whose results are awaited.
    in_flight: usize,
    /// Rooms joined or being joined.
    rooms: HashMap<RoomId, Join>,
    /// When a frame was last received.
    last_received: Instant,
    /// When the last Ping was sent, if nothing has been received since.
    pinged: Option<Instant>,
    /// When the session reaches its maximum age.
    expires: Instant,
    /// The client has half-closed its stream.
    half_closed: bool,
}

#[derive(Debug)]
enum Phase {
    /// Before Hello.
    AwaitingHello { until: Instant },
    /// Between Welcome and the end.
    Open { user: UserId, device: Option<DeviceId> },
    /// Accepts nothing new, and ends when nothing is in flight.
    Draining { user: UserId },
    /// [`Action::End`] or [`Action::Finish`] has been issued, and nothing follows.
    Ended,
}

#[derive(Debug)]
struct Join {
    /// The frame id of the latest Join of the room.
    id: u64,
    permit: ReadPermit,
    start: Start,
    /// An earlier Join of the room has succeeded, and stays in effect should the latest one fail.
    seated: bool,
}

impl Protocol {
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            phase: Phase::AwaitingHello { until: now + settings.limits.hello },
            heartbeats: true,
            actions: VecDeque::new(),
            last_id: 0,
            in_flight: 0,
            rooms: HashMap::new(),
            last_received: now,
            pinged: None,
            expires: now + settings.limits.age,
            half_closed: false,
            settings,
        }
    }

    /// Returns the next thing to do.
    pub(crate) fn next(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns when [`Protocol::tick`] is due next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::AwaitingHello { until } => Some(until),
            Phase::Open { .. } if self.half_closed => None,
            Phase::Open { .. } if !self.heartbeats => Some(self.expires),
            Phase::Open { .. } => {
                let heartbeat = match self.pinged {
                    None => self.last_received + self.settings.limits.heartbeat,
                    Some(pinged) => (pinged + self.settings.limits.heartbeat).min(self.unresponsive_at()),
                };
                Some(heartbeat.min(self.expires))
            }
            Phase::Draining { .. } | Phase::Ended => None,
        }
    }

    /// Whether a further request would exceed the number that may be in flight.
    pub(crate) fn is_full(&self) -> bool {
        self.in_flight >= self.settings.limits.in_flight
    }

    /// Handles the passing of time. `blocked` means that the client leaves sent bytes unread: it cannot see a Ping behind
    /// them, so its silence proves nothing, and HTTP/2's own PINGs check whether its machine is reachable.
    pub(crate) fn tick(&mut self, now: Instant, blocked: bool) {
        match self.phase {
            Phase::AwaitingHello { until } if now >= until => self.end(End::HelloTimeout),
            Phase::Open { .. } if self.half_closed => {}
            Phase::Open { .. } if now >= self.expires => self.start_draining(DrainReason::Age),
            Phase::Open { .. } if !self.heartbeats => {}
            Phase::Open { .. } if blocked => {
                self.last_received = now;
                self.pinged = None;
            }
            Phase::Open { .. } if self.pinged.is_some() && now >= self.unresponsive_at() => self.end(End::Unresponsive),
            Phase::Open { .. } => {
                let heartbeat = self.settings.limits.heartbeat;
                if now >= self.pinged.unwrap_or(self.last_received) + heartbeat {
                    if self.pinged.is_none() {
                        // If this server was late, because its machine was busy or asleep, the client is not gone for that.
                        self.last_received = self.last_received.max(now - heartbeat);
                    }
                    self.pinged = Some(now);
                    self.send(0, Body::Ping);
                }
            }
            Phase::AwaitingHello { .. } | Phase::Draining { .. } | Phase::Ended => {}
        }
    }

    /// Handles a frame from the client.
    pub(crate) fn frame(&mut self, frame: Inbound, now: Instant) {
        self.last_received = now;
        self.pinged = None;
        let Inbound { id, request } = frame;
        match self.phase {
            Phase::Ended => return,
            Phase::AwaitingHello { .. } => return self.hello(id, request),
            Phase::Open { .. } | Phase::Draining { .. } => {}
        }
        let handled = self.check_id(id, request).and_then(|request| self.request(id, request));
        if let Err(refusal) = handled {
            self.send(id, Body::Error(refusal));
        }
    }

    /// Handles the end of the client's side of the stream: everything accepted is still answered.
    pub(crate) fn half_close(&mut self) {
        self.half_closed = true;
        match self.phase {
            Phase::AwaitingHello { .. } => self.end(End::Completed),
            _ => self.end_if_idle(),
        }
    }

    /// Handles the result of an append.
    pub(crate) fn appended(
        &mut self,
        id: u64,
        room: RoomId,
        client_msg_id: ClientMsgId,
        result: Result<Appended, AppendError>,
    ) {
        let body = match result {
            Ok(appended) => Body::Ack { room, client_msg_id, appended, durability: self.settings.durability },
            Err(error) => Body::Error(Refusal::from_append(error, &room)),
        };
        self.complete(Some(Action::Send { reply_to: id, body }));
    }

    /// Handles the state of a room that was read for a Join.
    pub(crate) fn state_read(&mut self, id: u64, room: &RoomId, result: Result<RoomState, ReadError>) {
        let epoch = self.settings.epoch;
        let action = match (result, self.rooms.get_mut(room), &self.phase) {
            (Ok(state), Some(join), Phase::Open { user, .. } | Phase::Draining { user }) if join.id == id => {
                join.seated = true;
                let (verdict, start) = verdict(join.start, epoch, state);
                let joined = Joined {
                    room: room.clone(),
                    verdict,
                    epoch,
                    start,
                    head: state.head,
                    oldest: state.oldest,
                    read: state.read,
                    present: Vec::new(),
                    present_count: 0,
                };
                Action::Seat { reply_to: id, permit: join.permit.clone(), user: user.clone(), joined }
            }
            (Err(why), Some(join), _) if join.id == id => {
                if !join.seated {
                    self.rooms.remove(room);
                }
                error(id, Refusal::from_read(why, room))
            }
            // The room was left, or joined again, in the meantime.
            _ => error(id, Refusal::JoinSuperseded { room: room.clone() }),
        };
        self.complete(Some(action));
    }

    /// Handles the result of storing a read mark.
    pub(crate) fn marked(&mut self, id: u64, room: &RoomId, result: Result<Seq, AppendError>) {
        let reply = match result {
            Ok(_) if id == 0 => None,
            Ok(_) => Some(Action::Send { reply_to: id, body: Body::Done }),
            Err(why) => Some(error(id, Refusal::from_append(why, room))),
        };
        self.complete(reply);
    }

    /// Handles the refusal of an append or of a read mark.
    pub(crate) fn refused(&mut self, id: u64, refusal: Refusal) {
        self.complete(Some(error(id, refusal)));
    }

    /// Handles the refusal of a Join.
    pub(crate) fn join_refused(&mut self, id: u64, room: &RoomId, refusal: Refusal) {
        if self.rooms.get(room).is_some_and(|join| join.id == id && !join.seated) {
            self.rooms.remove(room);
        }
        self.refused(id, refusal);
    }

    /// Handles the start of a new epoch of the history.
    pub(crate) fn epoch_ended(&mut self) {
        match self.phase {
            Phase::AwaitingHello { .. } => self.end(End::Drained),
            _ => self.start_draining(DrainReason::Epoch),
        }
    }

    /// Handles the shutdown of the server.
    pub(crate) fn drain(&mut self) {
        match self.phase {
            Phase::AwaitingHello { .. } => self.end(End::Drained),
            _ => self.start_draining(DrainReason::Shutdown),
        }
    }

    /// Ends the session for a reason outside of the protocol.
    pub(crate) fn end(&mut self, end: End) {
        if !matches!(self.phase, Phase::Ended) {
            self.phase = Phase::Ended;
            self.actions.push_back(Action::End(end));
        }
    }

    fn hello(&mut self, id: u64, request: Result<Request, Refusal>) {
        let opened = match self.check_id(id, request) {
            Ok(Request::Hello(Hello { user: Some(user), device, heartbeats, client })) => {
                self.heartbeats = heartbeats;
                Ok((user, device, client))
            }
            Ok(Request::Hello(Hello { user: None, .. })) => Err(Refusal::NoTokens),
            Ok(_) => Err(Refusal::HelloExpected),
            Err(refusal) => Err(refusal),
        };
        match opened {
            Ok((user, device, client)) => {
                if self.settings.named {
                    self.settings.caller = self.settings.caller.named(user.clone());
                }
                self.phase = Phase::Open { user: user.clone(), device };
                self.actions.push_back(Action::Welcome { reply_to: id, user, client });
            }
            Err(refusal) => self.end(End::Refused(refusal)),
        }
    }

    /// Checks that ids rise, except for 0, which stands for none.
    fn check_id(&mut self, id: u64, request: Result<Request, Refusal>) -> Result<Request, Refusal> {
        if id > self.last_id {
            self.last_id = id;
        } else if id > 0 {
            return Err(Refusal::IdNotRising);
        }
        request
    }

    fn request(&mut self, id: u64, request: Request) -> Result<(), Refusal> {
        match request {
            Request::Hello(_) => return Err(Refusal::HelloRepeated),
            Request::Join { room, start } => self.join(id, room, start)?,
            Request::Leave { room } => {
                self.rooms.remove(&room).ok_or_else(|| Refusal::NotJoined { room: room.clone() })?;
                self.actions.push_back(Action::Leave { room });
                self.done(id);
            }
            Request::Change(ChangeRequest { room, client_msg_id, change, expected, sender }) => {
                let (user, device) = self.user()?;
                let (sender, device) = (sender.unwrap_or(user), device.cloned());
                self.check_in_flight()?;
                let permit = self.settings.policy.write(&self.settings.caller, room.clone())?;
                let draft = Draft { room, sender, device, client_msg_id, change };
                self.in_flight += 1;
                self.actions.push_back(Action::Append { id, permit, draft, expected });
            }
            Request::MarkRead { room, seq } => {
                let (user, _) = self.user()?;
                self.check_in_flight()?;
                let permit = self.settings.policy.read(&self.settings.caller, room)?;
                self.in_flight += 1;
                self.actions.push_back(Action::MarkRead { id, permit, user, seq });
            }
            Request::Typing { room } => match self.typing(room) {
                // Nobody waits for the outcome of a hint without an id.
                Err(refusal) if id > 0 => return Err(refusal),
                Ok(()) | Err(_) => self.done(id),
            },
            Request::Ping => self.send(id, Body::Pong),
            Request::Pong => self.done(id),
            Request::RefreshToken => return Err(Refusal::NoTokens),
        }
        Ok(())
    }

    fn join(&mut self, id: u64, room: RoomId, start: Start) -> Result<(), Refusal> {
        let (user, _) = self.user()?;
        self.check_in_flight()?;
        let earlier = self.rooms.get(&room);
        if earlier.is_none() && self.rooms.len() >= self.settings.limits.rooms {
            return Err(Refusal::TooManyRooms);
        }
        let seated = earlier.is_some_and(|earlier| earlier.seated);
        let permit = self.settings.policy.read(&self.settings.caller, room.clone())?;
        self.rooms.insert(room, Join { id, permit: permit.clone(), start, seated });
        self.in_flight += 1;
        self.actions.push_back(Action::ReadState { id, permit, user, start });
        Ok(())
    }

    fn typing(&mut self, room: RoomId) -> Result<(), Refusal> {
        if !self.rooms.contains_key(&room) {
            return Err(Refusal::NotJoined { room });
        }
        let (user, _) = self.user()?;
        let permit = self.settings.policy.write(&self.settings.caller, room)?;
        self.actions.push_back(Action::Typing { permit, user });
        Ok(())
    }

    /// The session's user and device, while new requests are accepted.
    fn user(&self) -> Result<(UserId, Option<&DeviceId>), Refusal> {
        match &self.phase {
            Phase::Open { user, device } => Ok((user.clone(), device.as_ref())),
            Phase::AwaitingHello { .. } | Phase::Draining { .. } | Phase::Ended => Err(Refusal::Draining),
        }
    }

    fn check_in_flight(&self) -> Result<(), Refusal> {
        if self.is_full() { Err(Refusal::TooManyInFlight) } else { Ok(()) }
    }

    /// Replies to a frame that has no other result, if its client wants a reply.
    fn done(&mut self, id: u64) {
        if id > 0 {
            self.send(id, Body::Done);
        }
    }

    fn send(&mut self, reply_to: u64, body: Body) {
        self.actions.push_back(Action::Send { reply_to, body });
    }

    fn start_draining(&mut self, reason: DrainReason) {
        if let Phase::Open { user, .. } = &self.phase {
            self.phase = Phase::Draining { user: user.clone() };
            self.actions.push_back(Action::SendDraining { reason });
            self.end_if_idle();
        }
    }

    /// Answers a request that was in flight, unless the session has ended.
    fn complete(&mut self, reply: Option<Action>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if !matches!(self.phase, Phase::Ended) {
            self.actions.extend(reply);
            self.end_if_idle();
        }
    }

    /// Ends a session that is draining or half-closed once nothing is in flight.
    fn end_if_idle(&mut self) {
        if self.in_flight > 0 {
            return;
        }
        match self.phase {
            Phase::Draining { .. } => self.end(End::Drained),
            Phase::Open { .. } if self.half_closed => {
                self.phase = Phase::Ended;
                let rooms = self.rooms.values().map(|join| join.permit.clone()).collect();
                self.actions.push_back(Action::Finish { rooms });
            }
            _ => {}
        }
    }

    /// A client is considered gone two and a half heartbeats after it was last heard from, if it was pinged in time.
    fn unresponsive_at(&self) -> Instant {
        self.last_received + self.settings.limits.heartbeat.mul_f64(2.5)
    }
}

fn error(id: u64, refusal: Refusal) -> Action {
    Action::Send { reply_to: id, body: Body::Error(refusal) }
}

/// Returns whether a reader that wants to start there misses events, and the event after which it starts.
fn verdict(start: Start, epoch: Epoch, state: RoomState) -> (Verdict, Seq) {
    // Every event that is kept comes after this one.
    let beginning = state.oldest.saturating_sub(1);
    match start {
        Start::Last(_) => (Verdict::Live, state.before_last),
        Start::Beginning if beginning == 0 => (Verdict::Recovered, 0),
        Start::Beginning => (Verdict::ResetExpired, state.head),
        Start::After { epoch: theirs, .. } if theirs != epoch => (Verdict::ResetEpoch, state.head),
        Start::After { seq, .. } if seq > state.head => (Verdict::ResetAhead, state.head),
        Start::After { seq, .. } if seq < beginning => (Verdict::ResetExpired, state.head),
        // An event that has expired itself cannot be compared any more; everything after it is kept.
        Start::After { client_msg_id: Some(theirs), .. } if state.id_at.is_some_and(|id| id != theirs) => {
            (Verdict::ResetForked, state.head)
        }
        Start::After { seq, .. } => (Verdict::Recovered, seq),
    }
}

#[cfg(test)]
mod tests;
