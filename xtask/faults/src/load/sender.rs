//! A sender that sends each draft, with the same id, until it is acked, on as many connections as it takes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use grpc_chat_client::MsgId;
use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Code;

use super::Counters;
use super::counters::micros;
use super::session::Session;
use crate::checker::{Id, SenderLog, id_of, message_digest};
use crate::route::Route;

/// What the senders of a run are told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Work,
    /// End when everything is acked, without making new drafts.
    Finish,
    /// End now.
    Abandon,
}

/// How much a sender sends, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// The most sends that are in flight at a time.
    pub(crate) window: usize,
    /// The number of drafts, after which the sender ends.
    pub(crate) drafts: usize,
    /// The bytes of text in a draft.
    pub(crate) text_bytes: usize,
    /// The time between drafts. Zero is as fast as the window allows.
    pub(crate) interval: Duration,
}

impl Workload {
    /// Sends without end, as fast as the window allows.
    pub(crate) const STEADY: Self = Self { window: 64, drafts: usize::MAX, text_bytes: 100, interval: Duration::ZERO };
}

/// The settings of one sender.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) user: String,
    /// The rooms, of which each draft goes to one.
    pub(crate) rooms: Vec<String>,
    pub(crate) workload: Workload,
    pub(crate) seed: u64,
    pub(crate) counters: Counters,
}

/// What one sender sent, and how it was answered.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) log: SenderLog,
    /// The time and the code of each refusal.
    pub(crate) refused: Vec<(Instant, Code)>,
    pub(crate) acked_at: Vec<Instant>,
    /// The code with which each stream ended.
    pub(crate) ended: Vec<Code>,
    /// Whether Draining was received.
    pub(crate) drained: bool,
}

struct Draft {
    id: Id,
    room: String,
    text: String,
}

struct Sender {
    plan: Plan,
    sent: Sent,
    random: fastrand::Rng,
    /// The number of drafts made.
    drafts: usize,
    /// The drafts without an ack, by their number.
    unacked: BTreeMap<usize, Draft>,
    next_draft_at: Instant,
}

/// Sends until all drafts are acked and there will be no more, or until the command is to abandon.
pub(crate) async fn run(route: Route, plan: Plan, mut command: watch::Receiver<Command>) -> Sent {
    let mut sender = Sender {
        random: fastrand::Rng::with_seed(plan.seed),
        plan,
        sent: Sent::default(),
        drafts: 0,
        unacked: BTreeMap::new(),
        next_draft_at: Instant::now(),
    };
    let mut commands = command.clone();
    let abandoned = commands.wait_for(|command| *command == Command::Abandon);
    tokio::select! {
        _ = abandoned => {}
        () = sender.work(&route, &mut command) => {}
    }
    sender.sent
}

impl Sender {
    async fn work(&mut self, route: &Route, command: &mut watch::Receiver<Command>) {
        while !self.is_done(command) {
            match Session::open(route, &self.plan.user).await {
                Ok(session) => self.send_on(route, session, command).await,
                Err(status) => self.sent.ended.push(status.code()),
            }
            tokio::time::sleep(Duration::from_millis(self.random.u64(5..40))).await;
        }
    }

    /// Sends on one stream until it ends or the sender is done.
    async fn send_on(&mut self, route: &Route, mut session: Session, command: &mut watch::Receiver<Command>) {
        let mut in_flight: HashMap<u64, usize> = HashMap::new();
        let mut to_retry: Vec<usize> = self.unacked.keys().copied().collect();
        let mut retry_at = Instant::now();
        loop {
            if self.is_done(command) {
                return;
            }
            if retry_at <= Instant::now() {
                for number in std::mem::take(&mut to_retry) {
                    self.send(&mut session, number, &mut in_flight).await;
                }
            }
            while to_retry.is_empty() && self.has_room(command) && self.next_draft_at <= Instant::now() {
                let number = self.draft();
                self.send(&mut session, number, &mut in_flight).await;
            }
            if !in_flight.is_empty() && self.random.u16(..) < 64 {
                // Between a send and its ack.
                route.cut();
            }
            tokio::select! {
                frame = session.receive() => match frame {
                    Ok(Some((reply_to, body))) => {
                        if let Some(number) = self.receive(reply_to, body, &mut in_flight) {
                            to_retry.push(number);
                            retry_at = Instant::now() + Duration::from_millis(50);
                        }
                    }
                    Ok(None) => return self.sent.ended.push(Code::Ok),
                    Err(status) => return self.sent.ended.push(status.code()),
                },
                () = tokio::time::sleep_until(retry_at), if !to_retry.is_empty() => {}
                () = tokio::time::sleep_until(self.next_draft_at), if to_retry.is_empty() && self.has_room(command) => {}
                Ok(()) = command.changed() => {}
            }
        }
    }

    fn has_room(&self, command: &watch::Receiver<Command>) -> bool {
        self.unacked.len() < self.plan.workload.window && self.may_draft(command)
    }

    fn may_draft(&self, command: &watch::Receiver<Command>) -> bool {
        self.drafts < self.plan.workload.drafts && *command.borrow() == Command::Work
    }

    fn is_done(&self, command: &watch::Receiver<Command>) -> bool {
        self.unacked.is_empty() && !self.may_draft(command)
    }

    /// Makes a draft and returns its number.
    fn draft(&mut self) -> usize {
        self.drafts += 1;
        let room = self.plan.rooms[self.random.usize(..self.plan.rooms.len())].clone();
        self.next_draft_at = Instant::now() + self.plan.workload.interval;
        let mut text = format!("{} {} {} ", micros(), self.plan.user, self.drafts);
        while text.len() < self.plan.workload.text_bytes {
            text.push(self.random.alphanumeric());
        }
        self.unacked.insert(self.drafts, Draft { id: MsgId::new().0, room, text });
        self.drafts
    }

    async fn send(&mut self, session: &mut Session, number: usize, in_flight: &mut HashMap<u64, usize>) {
        let Some(Draft { id, room, text }) = self.unacked.get(&number) else { return };
        self.sent.log.sent(*id, room, message_digest(room, &self.plan.user, text));
        let client_msg_id = id.to_vec().into();
        let send = pb::Send { room: room.clone(), text: text.clone(), client_msg_id, ..pb::Send::default() };
        in_flight.insert(session.send(client_frame::Body::Send(send)).await, number);
    }

    /// Records a frame. Returns the number of the draft that has to be sent again, if the frame refused one.
    fn receive(
        &mut self,
        reply_to: u64,
        body: server_frame::Body,
        in_flight: &mut HashMap<u64, usize>,
    ) -> Option<usize> {
        match body {
            server_frame::Body::Ack(ack) => {
                let id = id_of(&ack.client_msg_id);
                self.sent.log.acked(id, &ack.room, ack.seq, ack.duplicate);
                self.sent.acked_at.push(Instant::now());
                self.plan.counters.acked.increment();
                let draft = in_flight.remove(&reply_to).and_then(|number| self.unacked.remove(&number));
                if draft.is_none_or(|draft| draft.id != id) {
                    self.sent.log.violation(format!("an ack at {} replies to another frame", ack.seq));
                }
                None
            }
            server_frame::Body::Error(error) => {
                let status = error.status.unwrap_or_default();
                let code = Code::from(status.code);
                self.sent.refused.push((Instant::now(), code));
                self.plan.counters.refused.increment();
                if !matches!(code, Code::Unavailable | Code::Unknown | Code::ResourceExhausted) {
                    self.sent.log.violation(format!("a send was refused with {code:?}: {}", status.message));
                }
                let number = in_flight.remove(&reply_to);
                if let Some(draft) = number.and_then(|number| self.unacked.get(&number))
                    && code != Code::Unknown
                {
                    self.sent.log.refused(draft.id);
                }
                if number.is_none() {
                    self.sent.log.violation(format!("{code:?} replies to no send: {}", status.message));
                }
                number
            }
            server_frame::Body::Draining(_) => {
                if !std::mem::replace(&mut self.sent.drained, true) {
                    self.plan.counters.drained.increment();
                }
                None
            }
            other => {
                self.sent.log.violation(format!("a sender received {other:?}"));
                None
            }
        }
    }
}
