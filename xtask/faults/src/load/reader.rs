//! A reader that reconnects and resumes from its cursors.

use std::collections::BTreeMap;
use std::time::Duration;

use stubs::chat::v1::{self as pb, client_frame, join, server_frame};
use tokio::sync::watch;
use tonic::{Code, Status};

use super::Counters;
use super::session::Session;
use crate::checker::{EventDigest, ReaderLog};
use crate::route::Route;

/// What the readers of a run are told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Read,
    /// Leave the stream unread until the next command.
    Stall,
    /// End when these heads are reached.
    Finish(Vec<(String, u64)>),
    /// End now.
    Abandon,
}

/// The settings of one reader.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) user: String,
    pub(crate) rooms: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) counters: Counters,
    /// Whether it reconnects after the end of a stream, or ends with it.
    pub(crate) reconnects: bool,
}

/// What one reader received.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) rooms: BTreeMap<String, ReaderLog>,
    /// The code with which each stream ended.
    pub(crate) ended: Vec<Code>,
    /// Whether Draining was received.
    pub(crate) drained: bool,
    /// Whether a stream ended with DATA_LOSS.
    pub(crate) damaged: bool,
    /// What a server must not send to a reader.
    pub(crate) violations: Vec<String>,
}

/// Reads until the command is to finish and the heads are reached, or to abandon.
pub(crate) async fn run(route: Route, plan: Plan, mut command: watch::Receiver<Command>) -> Received {
    let mut received = Received::default();
    for room in &plan.rooms {
        received.rooms.insert(room.clone(), ReaderLog::default());
    }
    let mut random = fastrand::Rng::with_seed(plan.seed);
    while !received.is_done(&command.borrow()) {
        let session = tokio::select! {
            session = Session::open(&route, &plan.user) => session,
            _ = command.wait_for(|command| *command == Command::Abandon) => break,
        };
        let ended = match session {
            Ok(session) => received.read_stream(session, &route, &plan, &mut random, &mut command).await,
            Err(status) => Some(status.code()),
        };
        for log in received.rooms.values_mut() {
            log.stream_ended();
        }
        let Some(code) = ended else { break };
        received.ended.push(code);
        received.damaged |= code == Code::DataLoss;
        if received.damaged || !plan.reconnects {
            break;
        }
        tokio::time::sleep(Duration::from_millis(random.u64(5..40))).await;
    }
    received
}

impl Received {
    /// Reads one stream. Returns the code with which it ended, or `None` if the reader is done.
    async fn read_stream(
        &mut self,
        mut session: Session,
        route: &Route,
        plan: &Plan,
        random: &mut fastrand::Rng,
        command: &mut watch::Receiver<Command>,
    ) -> Option<Code> {
        for (room, log) in &self.rooms {
            let start = Some(join::Start::After(log.cursor()));
            session.send(client_frame::Body::Join(pb::Join { room: room.clone(), start })).await;
        }
        loop {
            if self.is_done(&command.borrow()) {
                return None;
            }
            if *command.borrow() == Command::Stall {
                // An error means that no command will follow.
                let _ = command.wait_for(|command| *command != Command::Stall).await;
                continue;
            }
            tokio::select! {
                frame = session.receive() => match self.receive(frame, plan) {
                    Ok(joined) => if joined && random.u8(..) < 64 {
                        // Between the pages of the history and the live events.
                        route.cut();
                    },
                    Err(code) => return Some(code),
                },
                Ok(()) = command.changed() => {}
            }
        }
    }

    /// Records a frame. Returns whether it was Joined, or the code with which the stream has to end.
    fn receive(&mut self, frame: Result<Option<(u64, server_frame::Body)>, Status>, plan: &Plan) -> Result<bool, Code> {
        let body = match frame {
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
                // A room that cannot be joined now is joined on the next stream.
                let code = Code::from(status.code);
                if !matches!(code, Code::Unavailable | Code::DataLoss) {
                    self.violations.push(format!("a Join was refused with {code:?}: {}", status.message));
                }
                return Err(code);
            }
            other => {
                self.violations.push(format!("a reader received {other:?}"));
                return Ok(false);
            }
        };
        let Some(log) = self.rooms.get_mut(room) else {
            self.violations.push(format!("a frame for room {room}, which was not joined"));
            return Ok(false);
        };
        match &body {
            server_frame::Body::Joined(joined) => log.joined(joined),
            server_frame::Body::Event(event) => {
                log.event(EventDigest::of(event));
                plan.counters.delivered.increment();
                if let Some(pb::event::Body::Posted(posted)) = &event.body {
                    plan.counters.latencies.record(&posted.text);
                }
            }
            server_frame::Body::CaughtUp(caught_up) => {
                log.caught_up(caught_up.seq);
                plan.counters.caught_up.increment();
            }
            _ => {}
        }
        Ok(matches!(body, server_frame::Body::Joined(_)))
    }

    fn is_done(&self, command: &Command) -> bool {
        match command {
            Command::Read | Command::Stall => false,
            Command::Abandon => true,
            Command::Finish(heads) => heads
                .iter()
                .all(|(room, head)| self.rooms.get(room).is_none_or(|log| log.last() >= *head && log.is_live())),
        }
    }
}
