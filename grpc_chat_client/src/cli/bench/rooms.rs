//! `fan-out` and `sends`: clients with sessions send to rooms, which others may receive.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use grpc_chat_client::{
    Ack, Body, Change, Client, Config, ConnectionState, Draft, Durability, Events, MailboxLimits, RoomId, SendError,
    Update, Verdict, sanitize,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::args::{FanOut, Load, Sends};
use super::check::Check;
use super::clients::{self, MAX_UNSENT};
use super::measure::{Progress, measure};
use super::pace::Permit;
use super::report::Report;
use super::run::{Run, Stamp, lock};
use crate::output::{Failure, durability_word};

/// Deliveries that a receiver takes before it counts them.
const BATCH: usize = 64;

/// Sends to one room with many receivers.
pub(super) async fn fan_out(mut args: FanOut, config: Config) -> Result<Report, Failure> {
    let run = Arc::new(Run::new(args.common.size)?);
    let rooms = vec![args.room.get_or_insert(run.room()?).clone()];
    let (receivers, senders, in_flight) = (args.receivers, args.senders, args.in_flight);
    drive(Load::FanOut(args), Plan { receivers, senders, in_flight, rooms }, run, config).await
}

/// Sends messages that nobody receives.
pub(super) async fn sends(mut args: Sends, config: Config) -> Result<Report, Failure> {
    let run = Arc::new(Run::new(args.common.size)?);
    let room = args.room.insert(run.room()?);
    let rooms = match args.rooms {
        1 => vec![room.clone()],
        rooms => {
            let named = (1..=rooms).map(|number| format!("{room}/{number}").parse::<RoomId>());
            named.collect::<Result<_, _>>().map_err(|error| error.to_string())?
        }
    };
    let senders = args.clients;
    let in_flight = args.in_flight.map(|each| each * senders);
    drive(Load::Sends(args), Plan { receivers: 0, senders, in_flight, rooms }, run, config).await
}

struct Plan {
    /// Clients that receive the first room. Without any, the acks are the answers that are counted.
    receivers: u64,
    senders: u64,
    /// Messages in all that are not answered yet. `None`: as many as the rate leads to.
    in_flight: Option<u64>,
    /// Each sender sends to these in turn.
    rooms: Vec<RoomId>,
}

async fn drive(load: Load, plan: Plan, run: Arc<Run>, mut config: Config) -> Result<Report, Failure> {
    let progress = Progress(load.name());
    if let Some(in_flight) = plan.in_flight {
        // No receiver is to count as slow because of what is in flight.
        let MailboxLimits { updates, bytes } = config.mailbox_limits;
        let messages = 2 * in_flight as usize;
        config.mailbox_limits =
            MailboxLimits { updates: updates.max(messages), bytes: bytes.max(messages * load.common().size) };
    }
    let Plan { receivers, senders, in_flight, .. } = plan;
    let (clients, events) = clients::open(&config, receivers + senders, receivers, &plan.rooms[0], &progress).await?;
    let sending = &clients[receivers as usize..];

    let (permits, taken): (Vec<_>, Vec<_>) = sending.iter().map(|_| unbounded_channel()).unzip();
    let bench = Arc::new(Bench {
        check: Mutex::new(Check::new(receivers)),
        permits: in_flight.map(|_| permits.clone()).unwrap_or_default(),
        plan,
        run,
    });
    let (mut listening, mut speaking) = (JoinSet::new(), JoinSet::new());
    for (index, events) in events.into_iter().enumerate() {
        listening.spawn(Arc::clone(&bench).receive(index, events));
    }
    for (index, (client, permits)) in sending.iter().zip(taken).enumerate() {
        speaking.spawn(Arc::clone(&bench).send(index, client.clone(), permits));
    }
    let Bench { run, check, .. } = &*bench;
    let delivered = async {
        let durability = all(&mut speaking).await?.into_iter().flatten().min();
        run.all_answered().await;
        lock(check).finish()?;
        Ok(durability)
    };
    let delivered = async {
        tokio::select! {
            ended = all(&mut listening) => Err(ended.err().unwrap_or_else(|| "the clients ended too early".to_owned())),
            delivered = delivered => delivered,
        }
    };
    let (durability, report) = measure(&load, &config.server, run, progress, (in_flight, permits), delivered).await?;
    let report = Report {
        acked: Some(lock(check).acked_count()),
        durability: durability.map(durability_word),
        reconnects: Some(run.counts().sessions.saturating_sub(clients.len() as u64)),
        ..report
    };
    clients::close(clients).await;
    Ok(report)
}

/// Waits for all tasks. Returns what they return, or the first error.
async fn all<T: 'static>(tasks: &mut JoinSet<Result<T, String>>) -> Result<Vec<T>, String> {
    let mut results = Vec::new();
    while let Some(task) = tasks.join_next().await {
        results.push(task.map_err(|error| format!("a task of the load generator has failed: {error}"))??);
    }
    Ok(results)
}

/// What the tasks of all clients share.
struct Bench {
    plan: Plan,
    run: Arc<Run>,
    check: Mutex<Check>,
    /// Of the senders, where each message that is answered permits another one.
    permits: Vec<UnboundedSender<Permit>>,
}

impl Bench {
    /// Sends a message for each permit until the run is over or there are no more permits. Ends when all is acked; returns
    /// the lowest durability among the acks.
    async fn send(
        self: Arc<Self>,
        index: usize,
        client: Client,
        mut permits: UnboundedReceiver<Permit>,
    ) -> Result<Option<Durability>, String> {
        let mut over = pin!(self.run.over.cancelled());
        let (mut open, mut number, mut durability) = (true, 0, None::<Durability>);
        let mut acks = FuturesUnordered::new();
        loop {
            let permit = tokio::select! {
                // Acks are counted before more is sent.
                biased;
                Some((stamp, ack)) = acks.next(), if !acks.is_empty() => {
                    let ack: Ack = match ack {
                        Ok(ack) => ack,
                        Err(error) => return Err(not_sent(&error)),
                    };
                    self.acked(index, stamp, &ack);
                    durability = Some(durability.map_or(ack.durability, |lowest| lowest.min(ack.durability)));
                    continue;
                }
                () = &mut over, if open => None,
                permit = permits.recv(), if open && acks.len() < MAX_UNSENT => permit,
                else => return Ok(durability),
            };
            let Some(permit) = permit else {
                open = false;
                continue;
            };
            let stamp = Stamp { sender: index as u32, number, at: permit.used(&self.run) };
            let room = &self.plan.rooms[(index + number as usize) % self.plan.rooms.len()];
            self.run.sent(self.plan.receivers.max(1));
            let draft = Draft::new(room.clone(), Change::post(self.run.text(stamp)));
            let sending = client.enqueue(draft).await.map_err(|error| not_sent(&error))?;
            acks.push(async move { (stamp, sending.await) });
            number += 1;
        }
    }

    fn acked(&self, index: usize, stamp: Stamp, ack: &Ack) {
        lock(&self.check).acked(ack.seq, stamp);
        if self.plan.receivers == 0 {
            self.run.answered(&[(stamp.at, self.run.now())]);
            self.permit(index);
        }
    }

    /// Receives until the client ends.
    async fn receive(self: Arc<Self>, index: usize, mut events: Events) -> Result<(), String> {
        let failed = |why: String| format!("client {}: {why}", index + 1);
        let (mut deliveries, mut answers) = (Vec::new(), Vec::new());
        while let Some(update) = events.next().await {
            let mut next = Some(update);
            while let Some(update) = next.take() {
                if let Some((seq, stamp)) = self.delivered(update).map_err(failed)? {
                    deliveries.push((seq, stamp));
                    answers.push((stamp.at, self.run.now()));
                }
                if deliveries.len() < BATCH {
                    next = events.try_next();
                }
            }
            self.count(index, &deliveries, &answers).map_err(failed)?;
            deliveries.clear();
            answers.clear();
        }
        Ok(())
    }

    /// Returns the message that an update delivers, if it is one of this run.
    fn delivered(&self, update: Update) -> Result<Option<(u64, Stamp)>, String> {
        match update {
            Update::Event(event) => {
                let Body::Posted { text, .. } = &event.body else { return Ok(None) };
                // Others may talk in a room that was named.
                Ok(self.run.stamp(text).map(|stamp| (event.seq, stamp)))
            }
            Update::Joined(joined) => match joined.verdict {
                Verdict::Reset(reason) => Err(format!("what was missed cannot be delivered any more: {reason}")),
                Verdict::Live | Verdict::Recovered => Ok(None),
            },
            Update::Connection(ConnectionState::Failed(why)) | Update::JoinRefused { why, .. } => {
                Err(sanitize(&why.to_string()).into_owned())
            }
            Update::Connection(connection) => {
                self.run.connection_is(&connection);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn count(&self, index: usize, deliveries: &[(u64, Stamp)], answers: &[(u64, u64)]) -> Result<(), String> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let received_by_all = lock(&self.check).received(index, deliveries)?;
        self.run.answered(answers);
        received_by_all.for_each(|message| self.permit(message as usize));
        Ok(())
    }

    /// Permits a sender to send another message, unless the rate does.
    fn permit(&self, turn: usize) {
        if let Some(sender) = self.permits.get(turn % self.permits.len().max(1)) {
            // A sender takes no more when the run is over.
            let _ = sender.send(Permit::Now);
        }
    }
}

fn not_sent(error: &SendError) -> String {
    let why = sanitize(&error.to_string()).into_owned();
    match error {
        SendError::Refused(_) => format!("the service refused a message: {why}"),
        _ => why,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use grpc_chat_client::{Code, Event, Joined, MsgId, Refused, ResetReason};

    use super::*;

    fn bench(permits: Vec<UnboundedSender<Permit>>) -> Bench {
        let plan = Plan { receivers: 2, senders: 2, in_flight: Some(1), rooms: Vec::new() };
        Bench { plan, run: Arc::new(Run::new(64).unwrap()), check: Mutex::new(Check::new(2)), permits }
    }

    fn event(seq: u64, text: String) -> Update {
        Update::Event(Event {
            room: "r".parse().unwrap(),
            seq,
            prev_seq: seq - 1,
            time: SystemTime::UNIX_EPOCH,
            sender: "u".to_owned(),
            device: String::new(),
            id: MsgId([0; 16]),
            body: Body::Posted { text, reply_to: None, erased: false },
        })
    }

    #[test]
    fn what_every_receiver_has_permits_each_sender_in_turn_to_send() {
        let (permits, mut taken): (Vec<_>, Vec<_>) = (0..2).map(|_| unbounded_channel()).unzip();
        let bench = bench(permits);
        let mut given = || -> Vec<usize> {
            taken.iter_mut().map(|taken| std::iter::from_fn(|| taken.try_recv().ok()).count()).collect()
        };
        let deliveries: Vec<_> = (0..5).map(|number| (number + 1, Stamp { sender: 0, number, at: 0 })).collect();
        bench.count(0, &deliveries, &[(0, 0); 5]).unwrap();
        assert_eq!(given(), [0, 0]);
        bench.count(1, &deliveries[..3], &[(0, 0); 3]).unwrap();
        assert_eq!(given(), [2, 1]);
        bench.count(1, &deliveries[3..], &[(0, 0); 2]).unwrap();
        assert_eq!((given(), bench.run.counts().answers), (vec![1, 1], 10));
    }

    #[test]
    fn others_may_talk_in_the_room() {
        let bench = bench(Vec::new());
        let stamp = Stamp { sender: 0, number: 0, at: 7 };
        let other = Run::new(65).unwrap().text(stamp);
        let others = [event(1, "Hi".to_owned()), event(2, other)].map(|update| bench.delivered(update));
        assert_eq!(others, [Ok(None), Ok(None)]);
        assert_eq!(bench.delivered(event(3, bench.run.text(stamp))), Ok(Some((3, stamp))));
    }

    #[test]
    fn what_must_not_happen_is_an_error_at_once() {
        let bench = bench(Vec::new());
        let verdict = Verdict::Reset(ResetReason::Epoch);
        let joined = Joined {
            room: "r".parse().unwrap(),
            verdict,
            epoch: 1,
            start: 0,
            start_id: None,
            head: 0,
            oldest: 0,
            read: 0,
        };
        assert!(bench.delivered(Update::Joined(joined)).unwrap_err().contains("begun anew"));
        let refused = || Refused::new(Code::PermissionDenied, "no\u{1b}");
        let lost = Update::Connection(ConnectionState::Failed(refused()));
        for update in [lost, Update::JoinRefused { room: "r".parse().unwrap(), why: refused() }] {
            assert_eq!(bench.delivered(update).unwrap_err(), "no\u{FFFD}");
        }
    }
}
