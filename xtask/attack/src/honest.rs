//! Honest clients, who send, join and read pages at a steady pace, and what they have to wait for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stubs::chat::v1::chat_service_client::ChatServiceClient;
use stubs::chat::v1::client_frame::Body;
use stubs::chat::v1::{self as pb, join, server_frame};
use tokio::task::JoinSet;
use tokio::time::{self, Instant};
use tonic::Status;
use tonic::transport::Channel;

use crate::seed::QUIET_ROOM;
use crate::session::{self, Session};
use crate::sources;

/// How many users there are.
const USERS: usize = 8;

/// How often each user does each of the three: less than any rate that people would be held to.
const PACE: Duration = Duration::from_millis(100);

/// How often somebody new connects, and how long that may take.
const NEWCOMERS: Duration = Duration::from_millis(500);
const NEWCOMERS_PATIENCE: Duration = Duration::from_secs(2);

/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an honest client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Sends a message, up to its Ack.
    Send,
    /// Joins a room at its last 20 events, up to CaughtUp.
    Join,
    /// Reads a page of 100 messages.
    Page,
}

pub(crate) const DEEDS: [Deed; 3] = [Deed::Send, Deed::Join, Deed::Page];

/// What happens to the service meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing that is measured.
    Other,
    /// A process spins that is as busy as the attackers.
    Control,
    Attack,
    /// Everything should be as before the attack.
    After,
}

/// What honest clients have experienced.
#[derive(Debug, Default)]
pub(crate) struct Experience {
    samples: Vec<Sample>,
    /// Why deeds failed during attacks.
    pub(crate) failures: Vec<String>,
    /// How many newcomers came during attacks, and how many of them were not served.
    pub(crate) newcomers: usize,
    pub(crate) rejected: usize,
}

#[derive(Debug)]
struct Sample {
    phase: Phase,
    /// Counts the phases.
    nth: usize,
    deed: Deed,
    took: Duration,
}

impl Experience {
    /// Returns the 99th percentile of how long something took: the median of those of all phases of this kind, so that one
    /// moment in which the machine was busy with something else does not decide.
    pub(crate) fn p99(&self, phase: Phase, deed: Deed) -> Option<Duration> {
        let mut phases = BTreeMap::<usize, Vec<Duration>>::new();
        for sample in self.samples.iter().filter(|sample| sample.phase == phase && sample.deed == deed) {
            phases.entry(sample.nth).or_default().push(sample.took);
        }
        let p99 = |mut all: Vec<Duration>| {
            all.sort_unstable();
            all[all.len() * 99 / 100]
        };
        let mut p99s: Vec<Duration> = phases.into_values().map(p99).collect();
        p99s.sort_unstable();
        p99s.get(p99s.len() / 2).copied()
    }
}

/// Running clients, stopped when this is dropped.
pub(crate) struct Honest {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
}

struct State {
    /// When each phase began.
    phases: Vec<(Instant, Phase)>,
    /// For each client, the time up to which it has done what was due.
    done: Vec<Instant>,
    experience: Experience,
}

impl Honest {
    /// Starts the clients, and waits until all have done something.
    pub(crate) async fn start(target: SocketAddr) -> Result<Self, String> {
        let start = Instant::now();
        let state = State {
            phases: vec![(start, Phase::Other)],
            done: vec![start; USERS * DEEDS.len()],
            experience: Experience::default(),
        };
        let shared = Arc::new(Shared { target, state: Mutex::new(state) });
        let mut tasks = JoinSet::new();
        for client in 0..USERS * DEEDS.len() {
            // They take turns.
            let first = start + PACE.mul_f64((client + 1) as f64 / (USERS * DEEDS.len()) as f64);
            tasks.spawn(act(Arc::clone(&shared), client, first));
        }
        tasks.spawn(arrive(Arc::clone(&shared)));
        let honest = Self { shared, tasks };
        if honest.catch_up(start).await { Ok(honest) } else { Err("the service does not serve anybody".to_owned()) }
    }

    /// Begins a phase.
    pub(crate) fn begin(&self, phase: Phase) {
        self.shared.lock().phases.push((Instant::now(), phase));
    }

    /// Waits until all clients have done what was due at this time. Returns false if they do not.
    pub(crate) async fn catch_up(&self, due: Instant) -> bool {
        let deadline = Instant::now() + PATIENCE * 2;
        while self.shared.lock().done.iter().any(|&done| done <= due) {
            if Instant::now() > deadline {
                return false;
            }
            time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// Stops the clients.
    pub(crate) fn finish(mut self) -> Experience {
        self.tasks.abort_all();
        std::mem::take(&mut self.shared.lock().experience)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns which phase it was at this time, and what kind of phase.
    fn phase(&self, at: Instant) -> (usize, Phase) {
        let nth = self.phases.partition_point(|(begin, _)| *begin <= at);
        self.phases[..nth].last().map_or((0, Phase::Other), |(_, phase)| (nth, *phase))
    }
}

/// Does one thing at a steady pace. What it takes counts from when it was due: a client who has to wait is late with what
/// comes next, too.
async fn act(shared: Arc<Shared>, number: usize, first: Instant) {
    let (deed, user) = (DEEDS[number % DEEDS.len()], format!("honest-{}", number / DEEDS.len()));
    let mut ticks = time::interval_at(first, PACE);
    let mut client = None;
    loop {
        let due = ticks.tick().await;
        let act = async {
            let client = match &mut client {
                Some(client) => client,
                None => client.insert(Client::open(shared.target, &user).await?),
            };
            client.act(deed).await
        };
        let outcome = time::timeout(PATIENCE, act).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("too slow")));
        let mut state = shared.lock();
        let (nth, phase) = state.phase(due);
        state.experience.samples.push(Sample { phase, nth, deed, took: due.elapsed() });
        state.done[number] = due;
        if let Err(status) = outcome {
            client = None;
            if phase == Phase::Attack {
                state.experience.failures.push(format!("{deed:?}: {:?}: {}", status.code(), status.message()));
            }
        }
    }
}

/// Connects again and again.
async fn arrive(shared: Arc<Shared>) {
    let mut ticks = time::interval(NEWCOMERS);
    loop {
        let due = ticks.tick().await;
        let is_served = is_newcomer_served(shared.target).await;
        let mut state = shared.lock();
        if state.phase(due).1 == Phase::Attack {
            state.experience.newcomers += 1;
            state.experience.rejected += usize::from(!is_served);
        }
    }
}

/// Connects, opens a session, and returns whether that worked in time.
pub(crate) async fn is_newcomer_served(target: SocketAddr) -> bool {
    let arrive = async {
        let channel = session::connect(target, sources::NEWCOMERS).await?;
        Session::open(channel, "newcomer").await
    };
    time::timeout(NEWCOMERS_PATIENCE, arrive).await.is_ok_and(|outcome| outcome.is_ok())
}

/// A user's connection and session.
struct Client {
    channel: Channel,
    session: Session,
    room: String,
}

impl Client {
    async fn open(target: SocketAddr, user: &str) -> Result<Self, Status> {
        let channel = session::connect(target, sources::HONEST).await?;
        let session = Session::open(channel.clone(), user).await?;
        Ok(Self { channel, session, room: format!("of-{user}") })
    }

    async fn act(&mut self, deed: Deed) -> Result<(), Status> {
        match deed {
            Deed::Send => {
                let send = pb::Send { room: self.room.clone(), text: "x".repeat(200), ..pb::Send::default() };
                let id = self.session.send(Body::Send(send)).await;
                self.session.reply(id).await?;
            }
            Deed::Join => {
                let join = pb::Join { room: QUIET_ROOM.to_owned(), start: Some(join::Start::Last(20)) };
                let id = self.session.send(Body::Join(join)).await;
                self.session.reply(id).await?;
                while !matches!(self.session.receive().await?, (_, server_frame::Body::CaughtUp(_))) {}
            }
            Deed::Page => {
                let request = pb::ListMessagesRequest { room: QUIET_ROOM.to_owned(), ..Default::default() };
                ChatServiceClient::new(self.channel.clone()).list_messages(request).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_is_the_median_of_the_phases() {
        let mut experience = Experience::default();
        for (nth, phase, factor) in
            [(1, Phase::Control, 9), (2, Phase::Attack, 1), (3, Phase::Attack, 50), (4, Phase::Attack, 2)]
        {
            let samples = (1..=200).map(|took| Sample {
                phase,
                nth,
                deed: Deed::Join,
                took: Duration::from_millis(took * factor),
            });
            experience.samples.extend(samples);
        }
        assert_eq!(experience.p99(Phase::Attack, Deed::Join), Some(Duration::from_millis(2 * 199)));
        assert_eq!(experience.p99(Phase::Attack, Deed::Page), None);
    }
}
