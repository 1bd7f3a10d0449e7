//! A sender that does not give up: what is not acked it sends again, under the same id, on the next connection.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Code;
use uuid::Uuid;

use super::line::Line;
use super::{Counts, Task, micros};
use crate::checker::{Id, Sending, id_of, said};
use crate::door::Door;

/// What one sender is to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) user: String,
    /// Each draft goes to one of them.
    pub(crate) rooms: Vec<String>,
    /// Sends in flight at most.
    pub(crate) window: usize,
    /// Drafts at most; then everything is acked and the sender ends.
    pub(crate) most: usize,
    /// Bytes of text.
    pub(crate) text: usize,
    /// Time between drafts; zero for as fast as the window lets it.
    pub(crate) every: Duration,
    pub(crate) seed: u64,
    pub(crate) counts: Counts,
}

/// What one sender saw.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) sending: Sending,
    /// What was refused and when, and how streams ended.
    pub(crate) refused: Vec<(Instant, Code)>,
    pub(crate) acked_at: Vec<Instant>,
    pub(crate) ended: Vec<Code>,
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
    drafts: usize,
    unacked: BTreeMap<usize, Draft>,
    next_at: Instant,
}

/// Sends until it has sent all it may, or is told to settle, and everything is acked; or until told to abandon it.
pub(crate) async fn run(door: Door, plan: Plan, mut task: watch::Receiver<Task>) -> Sent {
    let random = fastrand::Rng::with_seed(plan.seed);
    let mut sender =
        Sender { plan, sent: Sent::default(), random, drafts: 0, unacked: BTreeMap::new(), next_at: Instant::now() };
    let mut told = task.clone();
    let abandoned = told.wait_for(|task| *task == Task::Abandon);
    tokio::select! {
        _ = abandoned => {}
        () = sender.work(&door, &mut task) => {}
    }
    sender.sent
}

impl Sender {
    async fn work(&mut self, door: &Door, task: &mut watch::Receiver<Task>) {
        while !self.done(task) {
            match Line::open(door, &self.plan.user).await {
                Ok(line) => self.talk(door, line, task).await,
                Err(status) => self.sent.ended.push(status.code()),
            }
            tokio::time::sleep(Duration::from_millis(self.random.u64(5..40))).await;
        }
    }

    /// One stream, to its end.
    async fn talk(&mut self, door: &Door, mut line: Line, task: &mut watch::Receiver<Task>) {
        let mut flying: HashMap<u64, usize> = HashMap::new();
        let mut again: Vec<usize> = self.unacked.keys().copied().collect();
        let mut retry_at = Instant::now();
        loop {
            if self.done(task) {
                return;
            }
            if retry_at <= Instant::now() {
                for number in std::mem::take(&mut again) {
                    self.say(&mut line, number, &mut flying).await;
                }
            }
            while again.is_empty() && self.has_room(task) && self.next_at <= Instant::now() {
                let number = self.draft();
                self.say(&mut line, number, &mut flying).await;
            }
            if !flying.is_empty() && self.random.u16(..) < 64 {
                // Between a send and its ack.
                door.cut();
            }
            tokio::select! {
                heard = line.hear() => match heard {
                    Ok(Some((reply_to, body))) => {
                        if let Some(number) = self.hear(reply_to, body, &mut flying) {
                            again.push(number);
                            retry_at = Instant::now() + Duration::from_millis(50);
                        }
                    }
                    Ok(None) => return self.sent.ended.push(Code::Ok),
                    Err(status) => return self.sent.ended.push(status.code()),
                },
                () = tokio::time::sleep_until(retry_at), if !again.is_empty() => {}
                () = tokio::time::sleep_until(self.next_at), if again.is_empty() && self.has_room(task) => {}
                Ok(()) = task.changed() => {}
            }
        }
    }

    fn has_room(&self, task: &watch::Receiver<Task>) -> bool {
        self.unacked.len() < self.plan.window && self.may_draft(task)
    }

    fn may_draft(&self, task: &watch::Receiver<Task>) -> bool {
        self.drafts < self.plan.most && *task.borrow() == Task::Work
    }

    fn done(&self, task: &watch::Receiver<Task>) -> bool {
        self.unacked.is_empty() && !self.may_draft(task)
    }

    fn draft(&mut self) -> usize {
        self.drafts += 1;
        let room = self.plan.rooms[self.random.usize(..self.plan.rooms.len())].clone();
        self.next_at = Instant::now() + self.plan.every;
        let mut text = format!("{} {} {} ", micros(), self.plan.user, self.drafts);
        while text.len() < self.plan.text {
            text.push(self.random.alphanumeric());
        }
        self.unacked.insert(self.drafts, Draft { id: Uuid::now_v7().into_bytes(), room, text });
        self.drafts
    }

    async fn say(&mut self, line: &mut Line, number: usize, flying: &mut HashMap<u64, usize>) {
        let Some(Draft { id, room, text }) = self.unacked.get(&number) else { return };
        self.sent.sending.sent(*id, room, said(room, &self.plan.user, text));
        let client_msg_id = id.to_vec().into();
        let send = pb::Send { room: room.clone(), text: text.clone(), client_msg_id, reply_to_seq: 0, epoch: 0 };
        flying.insert(line.say(client_frame::Body::Send(send)).await, number);
    }

    /// Answers which draft is to be sent again.
    fn hear(&mut self, reply_to: u64, body: server_frame::Body, flying: &mut HashMap<u64, usize>) -> Option<usize> {
        match body {
            server_frame::Body::Ack(ack) => {
                let id = id_of(&ack.client_msg_id);
                self.sent.sending.acked(id, &ack.room, ack.seq, ack.duplicate);
                self.sent.acked_at.push(Instant::now());
                self.plan.counts.acked.one_more();
                let draft = flying.remove(&reply_to).and_then(|number| self.unacked.remove(&number));
                if draft.is_none_or(|draft| draft.id != id) {
                    self.sent.sending.complain(format!("an ack at {} replies to another frame", ack.seq));
                }
                None
            }
            server_frame::Body::Error(error) => {
                let status = error.status.unwrap_or_default();
                let code = Code::from(status.code);
                self.sent.refused.push((Instant::now(), code));
                self.plan.counts.refused.one_more();
                if !matches!(code, Code::Unavailable | Code::Unknown | Code::ResourceExhausted) {
                    self.sent.sending.complain(format!("a send was refused with {code:?}: {}", status.message));
                }
                let number = flying.remove(&reply_to);
                if let Some(draft) = number.and_then(|number| self.unacked.get(&number))
                    && code != Code::Unknown
                {
                    self.sent.sending.refused(draft.id);
                }
                if number.is_none() {
                    self.sent.sending.complain(format!("{code:?} replies to no send: {}", status.message));
                }
                number
            }
            server_frame::Body::Draining(_) => {
                if !std::mem::replace(&mut self.sent.drained, true) {
                    self.plan.counts.drained.one_more();
                }
                None
            }
            other => {
                self.sent.sending.complain(format!("a sender was told {other:?}"));
                None
            }
        }
    }
}
