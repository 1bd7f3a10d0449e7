//! A reader that does not give up: after a lost connection it goes on from its cursors.

use std::collections::BTreeMap;
use std::time::Duration;

use stubs::chat::v1::{self as pb, client_frame, join, server_frame};
use tokio::sync::watch;
use tonic::{Code, Status};

use super::line::Line;
use super::{Counts, Task};
use crate::checker::{Reading, Seen};
use crate::door::Door;

/// What one reader is to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) user: String,
    pub(crate) rooms: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) counts: Counts,
    /// Connects again, for ever. Otherwise the first end is the end.
    pub(crate) comes_back: bool,
}

/// What one reader saw.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) rooms: BTreeMap<String, Reading>,
    /// How streams ended.
    pub(crate) ended: Vec<Code>,
    pub(crate) drained: bool,
    /// What no reader should be told.
    pub(crate) violations: Vec<String>,
    /// The server said that the history is damaged.
    pub(crate) damaged: bool,
}

/// Reads until it is told to settle and has read that far, or to abandon it.
pub(crate) async fn run(door: Door, plan: Plan, mut task: watch::Receiver<Task>) -> Received {
    let mut received = Received::default();
    for room in &plan.rooms {
        received.rooms.insert(room.clone(), Reading::default());
    }
    let mut random = fastrand::Rng::with_seed(plan.seed);
    while !received.done(&task.borrow()) {
        let line = tokio::select! {
            line = Line::open(&door, &plan.user) => line,
            _ = task.wait_for(|task| *task == Task::Abandon) => break,
        };
        let ended = match line {
            Ok(line) => received.listen(line, &door, &plan, &mut random, &mut task).await,
            Err(status) => Some(status.code()),
        };
        for reading in received.rooms.values_mut() {
            reading.cut();
        }
        let Some(code) = ended else { break };
        received.ended.push(code);
        received.damaged |= code == Code::DataLoss;
        if received.damaged || !plan.comes_back {
            break;
        }
        tokio::time::sleep(Duration::from_millis(random.u64(5..40))).await;
    }
    received
}

impl Received {
    /// One stream, to its end, or to the end of the task (`None`).
    async fn listen(
        &mut self,
        mut line: Line,
        door: &Door,
        plan: &Plan,
        random: &mut fastrand::Rng,
        task: &mut watch::Receiver<Task>,
    ) -> Option<Code> {
        for (room, reading) in &self.rooms {
            let start = Some(join::Start::After(reading.cursor()));
            line.say(client_frame::Body::Join(pb::Join { room: room.clone(), start })).await;
        }
        loop {
            if self.done(&task.borrow()) {
                return None;
            }
            if *task.borrow() == Task::Stall {
                // An error says that nobody will tell any more.
                let _ = task.wait_for(|task| *task != Task::Stall).await;
                continue;
            }
            tokio::select! {
                heard = line.hear() => match self.hear(heard, plan) {
                    Ok(joined) => if joined && random.u8(..) < 64 {
                        // Between the history and what is live.
                        door.cut();
                    },
                    Err(code) => return Some(code),
                },
                Ok(()) = task.changed() => {}
            }
        }
    }

    /// Answers whether that was Joined, or how the stream has ended.
    pub(crate) fn hear(
        &mut self,
        heard: Result<Option<(u64, server_frame::Body)>, Status>,
        plan: &Plan,
    ) -> Result<bool, Code> {
        let body = match heard {
            Ok(Some((_, body))) => body,
            Ok(None) => return Err(Code::Ok),
            Err(status) => return Err(status.code()),
        };
        let room = match &body {
            server_frame::Body::Joined(joined) => &joined.room,
            server_frame::Body::Event(event) => &event.room,
            server_frame::Body::CaughtUp(caught_up) => &caught_up.room,
            server_frame::Body::PresenceChanged(_) => return Ok(false),
            server_frame::Body::Draining(_) => {
                self.drained = true;
                return Ok(false);
            }
            server_frame::Body::Error(error) => {
                let status = error.status.clone().unwrap_or_default();
                // What cannot be joined now is joined on another stream.
                let code = Code::from(status.code);
                if !matches!(code, Code::Unavailable | Code::DataLoss) {
                    self.violations.push(format!("a Join was refused with {code:?}: {}", status.message));
                }
                return Err(code);
            }
            other => {
                self.violations.push(format!("a reader was told {other:?}"));
                return Ok(false);
            }
        };
        let Some(reading) = self.rooms.get_mut(room) else {
            self.violations.push(format!("something of room {room}, which was not joined"));
            return Ok(false);
        };
        match &body {
            server_frame::Body::Joined(joined) => reading.joined(joined),
            server_frame::Body::Event(event) => {
                reading.event(Seen::of(event));
                plan.counts.delivered.one_more();
                if let Some(pb::event::Body::Posted(posted)) = &event.body {
                    plan.counts.latencies.note(&posted.text);
                }
            }
            server_frame::Body::CaughtUp(caught_up) => {
                reading.caught_up(caught_up.seq);
                plan.counts.caught_up.one_more();
            }
            _ => {}
        }
        Ok(matches!(body, server_frame::Body::Joined(_)))
    }

    fn done(&self, task: &Task) -> bool {
        match task {
            Task::Work | Task::Stall => false,
            Task::Abandon => true,
            Task::Settle(heads) => heads.iter().all(|(room, head)| {
                self.rooms.get(room).is_none_or(|reading| reading.last() >= *head && reading.is_live())
            }),
        }
    }
}
