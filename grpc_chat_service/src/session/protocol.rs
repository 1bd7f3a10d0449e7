//! What a session does about what it hears: a pure state machine. It is told, and returns actions; it does no I/O,
//! and the time is given to it.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::history::{AppendError, Appended, Look, ReadError};
use crate::limits::Limits;
use crate::model::{ClientMsgId, Draft, Durability, Epoch, RoomId, Seq, UserId};
use crate::session::frame::{Body, End, Hello, Inbound, Joined, Leaving, Refusal, Request, Start, Verdict};

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Open the session and answer with Welcome.
    Welcome { reply_to: u64, user: UserId, client: String },
    /// Say it. 0 replies to nothing.
    Say { reply_to: u64, body: Body },
    /// Append, then tell [`Protocol::appended`].
    Append { id: u64, draft: Draft },
    /// Look at the room, then tell [`Protocol::looked`].
    Look { id: u64, room: RoomId },
    /// Begin to deliver the room after `joined.start`, replacing an earlier reader of it; say `joined` first.
    Seat { reply_to: u64, joined: Joined },
    /// Stop delivering the room.
    Leave { room: RoomId },
    /// Store the mark, then tell [`Protocol::marked`].
    Mark { id: u64, room: RoomId, seq: Seq },
    /// Let the others know that the user is typing.
    Typing { room: RoomId },
    /// Say that the session will end, with a reconnect time spread out.
    Farewell { reason: Leaving },
    /// Deliver what these rooms, all that are joined, hold now; then end with [`End::Completed`].
    Finish { rooms: Vec<RoomId> },
    /// Send what has been said, then end.
    End(End),
}

/// One session, from before Hello to its end.
#[derive(Debug)]
pub(crate) struct Protocol {
    limits: Limits,
    epoch: Epoch,
    durability: Durability,
    phase: Phase,
    /// The highest frame id so far.
    last_id: u64,
    /// Appends, looks and marks that have not been told yet.
    in_flight: usize,
    /// Rooms joined or being joined, with the id of the latest Join.
    rooms: HashMap<RoomId, Join>,
    /// When the client was last heard.
    heard: Instant,
    /// When it was last asked whether it is there, if not heard since.
    asked: Option<Instant>,
    /// When the session is old.
    old_at: Instant,
    /// The client has closed its side.
    closed: bool,
}

#[derive(Debug)]
enum Phase {
    /// Before Hello.
    Waiting { until: Instant },
    /// Between Welcome and the end.
    Open { user: UserId, device: Option<UserId> },
    /// Nothing new is accepted; ends when nothing is in flight.
    Leaving,
    /// [`Action::End`] or [`Action::Finish`] has been given: nothing more is done.
    Over,
}

#[derive(Debug)]
struct Join {
    /// The latest Join's.
    id: u64,
    start: Start,
    /// An earlier Join of the room has been carried out: should the latest fail, that one still holds.
    seated: bool,
}

impl Protocol {
    pub(crate) fn new(limits: Limits, epoch: Epoch, durability: Durability, now: Instant) -> Self {
        Self {
            limits,
            epoch,
            durability,
            phase: Phase::Waiting { until: now + limits.hello },
            last_id: 0,
            in_flight: 0,
            rooms: HashMap::new(),
            heard: now,
            asked: None,
            old_at: now + limits.session_age,
            closed: false,
        }
    }

    /// When [`Protocol::tick`] is due next. Never earlier than `now` for long: a tick moves it on.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Open { .. } if self.closed => None,
            Phase::Open { .. } => {
                let heartbeat = match self.asked {
                    None => self.heard + self.limits.heartbeat,
                    Some(asked) => (asked + self.limits.heartbeat).min(self.silent_at()),
                };
                Some(heartbeat.min(self.old_at))
            }
            Phase::Leaving | Phase::Over => None,
        }
    }

    /// Whether another change would be refused for the number of those in flight.
    pub(crate) fn full(&self) -> bool {
        self.in_flight >= self.limits.in_flight
    }

    /// Time has passed. `blocked` is whether the client leaves sent bytes unread: it cannot see a Ping behind them,
    /// so silence proves nothing, and whether its machine is there is left to HTTP/2's own pings.
    pub(crate) fn tick(&mut self, now: Instant, blocked: bool, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Waiting { until } if now >= until => self.end(End::NoHello, actions),
            Phase::Open { .. } if self.closed => {}
            Phase::Open { .. } if now >= self.old_at => self.leave(Leaving::Age, actions),
            Phase::Open { .. } if blocked => {
                self.heard = now;
                self.asked = None;
            }
            Phase::Open { .. } if now >= self.silent_at() => self.end(End::Silent, actions),
            Phase::Open { .. } => {
                let due = self.asked.unwrap_or(self.heard) + self.limits.heartbeat;
                if now >= due {
                    self.asked = Some(now);
                    actions.push(Action::Say { reply_to: 0, body: Body::Ping });
                }
            }
            Phase::Waiting { .. } | Phase::Leaving | Phase::Over => {}
        }
    }

    /// The client has said something.
    pub(crate) fn frame(&mut self, frame: Inbound, now: Instant, actions: &mut Vec<Action>) {
        self.heard = now;
        self.asked = None;
        let Inbound { id, request } = frame;
        match self.phase {
            Phase::Over => return,
            Phase::Waiting { .. } => return self.hello(id, request, actions),
            Phase::Open { .. } | Phase::Leaving => {}
        }
        let request = match self.in_order(id, request) {
            Ok(request) => request,
            Err(refusal) => return refuse(id, refusal, actions),
        };
        match request {
            Request::Hello(_) => refuse(id, Refusal::HelloTwice, actions),
            Request::Join { room, start } => self.join(id, room, start, actions),
            Request::Leave { room } => match self.rooms.remove(&room) {
                Some(_) => {
                    actions.push(Action::Leave { room });
                    actions.push(Action::Say { reply_to: id, body: Body::Done });
                }
                None => refuse(id, Refusal::NotJoined { room }, actions),
            },
            Request::Change { room, client_msg_id, change, epoch, sender } => match &self.phase {
                Phase::Open { .. } if self.full() => {
                    refuse(id, Refusal::TooManyInFlight, actions);
                }
                Phase::Open { user, device } => {
                    let sender = sender.unwrap_or_else(|| user.clone());
                    let draft = Draft { room, sender, device: device.clone(), client_msg_id, change, epoch };
                    self.in_flight += 1;
                    actions.push(Action::Append { id, draft });
                }
                _ => refuse(id, Refusal::Leaving, actions),
            },
            Request::MarkRead { .. } if matches!(self.phase, Phase::Leaving) => refuse(id, Refusal::Leaving, actions),
            Request::MarkRead { .. } if self.full() => {
                refuse(id, Refusal::TooManyInFlight, actions);
            }
            Request::MarkRead { room, seq } => {
                self.in_flight += 1;
                actions.push(Action::Mark { id, room, seq });
            }
            Request::Typing { room } if self.rooms.contains_key(&room) => {
                actions.push(Action::Typing { room });
                if id > 0 {
                    actions.push(Action::Say { reply_to: id, body: Body::Done });
                }
            }
            // "Never answered": an error for a hint nobody waits for would only be noise.
            Request::Typing { .. } if id == 0 => {}
            Request::Typing { room } => refuse(id, Refusal::NotJoined { room }, actions),
            Request::Ping => actions.push(Action::Say { reply_to: id, body: Body::Pong }),
            Request::Pong if id > 0 => actions.push(Action::Say { reply_to: id, body: Body::Done }),
            Request::Pong => {}
            Request::RefreshToken => refuse(id, Refusal::NoTokens, actions),
        }
    }

    /// The client has closed its side: everything accepted is still answered.
    pub(crate) fn half_closed(&mut self, actions: &mut Vec<Action>) {
        self.closed = true;
        match self.phase {
            Phase::Waiting { .. } => self.end(End::Completed, actions),
            _ => self.settle(actions),
        }
    }

    /// An append has been answered.
    pub(crate) fn appended(
        &mut self,
        id: u64,
        room: RoomId,
        client_msg_id: ClientMsgId,
        answer: Result<Appended, AppendError>,
        actions: &mut Vec<Action>,
    ) {
        let body = match answer {
            Ok(appended) => Body::Ack { room, client_msg_id, appended, durability: self.durability },
            Err(error) => Body::Refused(Refusal::of_append(error, &room)),
        };
        self.answered(Action::Say { reply_to: id, body }, actions);
    }

    /// A room has been looked at for a Join.
    pub(crate) fn looked(&mut self, id: u64, room: RoomId, answer: Result<Look, ReadError>, actions: &mut Vec<Action>) {
        let reply = match (answer, self.rooms.get_mut(&room)) {
            (Ok(look), Some(join)) if join.id == id => {
                join.seated = true;
                let (verdict, start) = verdict(join.start, self.epoch, look);
                let joined = Joined {
                    room,
                    verdict,
                    epoch: self.epoch,
                    start,
                    head: look.head,
                    oldest: look.oldest,
                    read: look.read,
                    present: Vec::new(),
                    present_count: 0,
                };
                Action::Seat { reply_to: id, joined }
            }
            (Err(error), Some(join)) if join.id == id => {
                if !join.seated {
                    self.rooms.remove(&room);
                }
                refusal(id, Refusal::of_read(error, &room))
            }
            // Left, or joined again, before the answer came.
            _ => refusal(id, Refusal::JoinOvertaken { room }),
        };
        self.answered(reply, actions);
    }

    /// A read mark has been answered.
    pub(crate) fn marked(
        &mut self,
        id: u64,
        room: &RoomId,
        answer: Result<Seq, AppendError>,
        actions: &mut Vec<Action>,
    ) {
        let body = match answer {
            Ok(_) => Body::Done,
            Err(error) => Body::Refused(Refusal::of_append(error, room)),
        };
        self.answered(Action::Say { reply_to: id, body }, actions);
    }

    /// The server is leaving.
    pub(crate) fn drain(&mut self, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Waiting { .. } => self.end(End::Left, actions),
            Phase::Open { .. } => self.leave(Leaving::Shutdown, actions),
            Phase::Leaving | Phase::Over => {}
        }
    }

    /// The session cannot go on.
    pub(crate) fn end(&mut self, end: End, actions: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Over) {
            self.phase = Phase::Over;
            actions.push(Action::End(end));
        }
    }

    fn hello(&mut self, id: u64, request: Result<Request, Refusal>, actions: &mut Vec<Action>) {
        match self.in_order(id, request) {
            Ok(Request::Hello(Hello { user, device, client })) => {
                self.phase = Phase::Open { user: user.clone(), device };
                actions.push(Action::Welcome { reply_to: id, user, client });
            }
            Ok(_) => self.end(End::Refused(Refusal::HelloFirst), actions),
            Err(refusal) => self.end(End::Refused(refusal), actions),
        }
    }

    /// Ids rise, and are 0 only where no reply is wanted.
    fn in_order(&mut self, id: u64, request: Result<Request, Refusal>) -> Result<Request, Refusal> {
        match &request {
            _ if id > self.last_id => self.last_id = id,
            // What is wrong with it says more than that its id is 0, which it may even have had to be.
            Ok(Request::Typing { .. } | Request::Ping | Request::Pong) | Err(_) if id == 0 => {}
            _ => return Err(Refusal::IdNotRising),
        }
        request
    }

    fn join(&mut self, id: u64, room: RoomId, start: Start, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Leaving) {
            return refuse(id, Refusal::Leaving, actions);
        }
        if self.full() {
            return refuse(id, Refusal::TooManyInFlight, actions);
        }
        if self.rooms.len() >= self.limits.rooms && !self.rooms.contains_key(&room) {
            return refuse(id, Refusal::TooManyRooms, actions);
        }
        let seated = self.rooms.get(&room).is_some_and(|earlier| earlier.seated);
        self.rooms.insert(room.clone(), Join { id, start, seated });
        self.in_flight += 1;
        actions.push(Action::Look { id, room });
    }

    fn leave(&mut self, reason: Leaving, actions: &mut Vec<Action>) {
        self.phase = Phase::Leaving;
        actions.push(Action::Farewell { reason });
        self.settle(actions);
    }

    /// What was in flight is answered by `reply`, unless the session is over.
    fn answered(&mut self, reply: Action, actions: &mut Vec<Action>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if !matches!(self.phase, Phase::Over) {
            actions.push(reply);
            self.settle(actions);
        }
    }

    /// When nothing is in flight any more, a session that was waiting for that ends.
    fn settle(&mut self, actions: &mut Vec<Action>) {
        if self.in_flight > 0 {
            return;
        }
        match self.phase {
            Phase::Leaving => self.end(End::Left, actions),
            Phase::Open { .. } if self.closed => {
                self.phase = Phase::Over;
                actions.push(Action::Finish { rooms: self.rooms.keys().cloned().collect() });
            }
            _ => {}
        }
    }

    /// Two heartbeats and a half after it was last heard, a client is taken for gone.
    fn silent_at(&self) -> Instant {
        self.heard + self.limits.heartbeat.mul_f64(2.5)
    }
}

fn refuse(id: u64, why: Refusal, actions: &mut Vec<Action>) {
    actions.push(refusal(id, why));
}

fn refusal(id: u64, why: Refusal) -> Action {
    Action::Say { reply_to: id, body: Body::Refused(why) }
}

/// Whether a reader who wants to start there misses something, and after which event it starts.
fn verdict(start: Start, epoch: Epoch, look: Look) -> (Verdict, Seq) {
    // Everything kept is after this place.
    let beginning = look.oldest.saturating_sub(1);
    match start {
        Start::Last(count) => (Verdict::Live, look.head.saturating_sub(count.into()).max(beginning.min(look.head))),
        // The beginning of any history is known without having seen it.
        Start::After { epoch: 0, seq: 0 } if beginning == 0 => (Verdict::Recovered, 0),
        Start::After { epoch: 0, seq: 0 } => (Verdict::ResetExpired, look.head),
        Start::After { epoch: theirs, .. } if theirs != epoch => (Verdict::ResetEpoch, look.head),
        Start::After { seq, .. } if seq > look.head => (Verdict::ResetAhead, look.head),
        Start::After { seq, .. } if seq < beginning => (Verdict::ResetExpired, look.head),
        Start::After { seq, .. } => (Verdict::Recovered, seq),
    }
}

#[cfg(test)]
mod tests;
