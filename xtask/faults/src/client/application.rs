//! An application that uses the client library as its documents say, and notes what it is told.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use grpc_chat_client::{
    Backoff, Change, Client, Config, Cursor, Draft, Events, JoinError, MailboxLimits, OpenError, RoomId, SendError,
    Start, StateError, connect,
};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::notes::{End, Notes};
use crate::checker::said;
use crate::load::Count;

/// How long an application gets for what nothing disturbs any more.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// How long a client gets to be closed beyond the grace that it was given, and to answer what is open.
const AT_ONCE: Duration = Duration::from_secs(10);

/// The longest pause between two drafts, in milliseconds.
const PAUSE: u64 = 100;

/// After how many updates a slow application takes a nap, and how long.
const AWAKE: usize = 50;
const NAP: Duration = Duration::from_secs(1);

/// Where an application begins that knows nothing yet.
const LAST: u32 = 1_000;

/// What applications are to do, told to all of them at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Be in all rooms.
    Listen,
    /// And speak, if that is your part. Some end now and then, and begin again.
    Work,
    /// Say nothing new, and get everything acked.
    Quiet,
    /// Read on to these heads, and end.
    Finish(Vec<(String, u64)>),
    /// End as it is.
    Abandon,
}

/// What one application is.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) user: String,
    pub(super) speaks: bool,
    /// It takes a nap now and then, and lets little wait for it.
    pub(super) slow: bool,
    /// It keeps its state here, and lives as long as this, in milliseconds, and again.
    pub(super) lives: Option<(PathBuf, Range<u64>)>,
    /// The longest delays before connecting again.
    pub(super) backoff: Backoff,
    pub(super) seed: u64,
}

/// What all applications of a run have come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Rooms joined by applications that had just begun.
    pub(super) joined: Count,
    /// Applications that have said all they are going to, and have it acked.
    pub(super) quiet: Count,
    pub(super) closed: Count,
    pub(super) crashed: Count,
}

pub(super) struct Application {
    pub(super) part: Part,
    pub(super) server: String,
    pub(super) rooms: Vec<String>,
    pub(super) notes: SharedNotes,
    pub(super) counts: Counts,
    pub(super) orders: watch::Receiver<Order>,
}

/// Short lock, no await under it.
#[derive(Clone, Debug)]
pub(super) struct SharedNotes(Arc<Mutex<Notes>>);

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The client is closed, and what uses it ends by what it is told.
    Closed,
    /// What uses the client ends before it is closed.
    Settled,
    /// No one is asked.
    Crashed,
}

impl SharedNotes {
    pub(super) fn new(notes: Notes) -> Self {
        Self(Arc::new(Mutex::new(notes)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Application {
    /// All its lives. Each has a runtime of its own, as a program has, so that nothing is left of one that crashes.
    pub(super) fn live(self) -> Result<(), String> {
        let mut random = fastrand::Rng::with_seed(self.part.seed);
        // In turn, so that a short run has all.
        let ways = [Way::Closed, Way::Crashed, Way::Settled];
        let mut next = random.usize(..ways.len());
        loop {
            let way = ways[next % ways.len()];
            next += 1;
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let over = runtime.block_on(self.live_once(way, &mut random))?;
            runtime.shutdown_background();
            if over {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(random.u64(..300)));
        }
    }

    /// One life. Answers whether it was the last one.
    async fn live_once(&self, way: Way, random: &mut fastrand::Rng) -> Result<bool, String> {
        let (client, events) = self.open().await?;
        let life = self.notes.lock().begin();
        let settle = watch::Sender::new(false);
        let start = match self.part.lives {
            Some(_) => Start::Resume { or_last: LAST },
            None => Start::After(Cursor::BEGINNING),
        };
        let (rooms, notes, joined) = (self.rooms.clone(), self.notes.clone(), self.counts.joined.clone());
        tokio::spawn(join(client.clone(), rooms, start, notes, joined));
        let listener = Listener { life, notes: self.notes.clone(), orders: self.orders.clone(), slow: self.part.slow };
        let listening = tokio::spawn(listener.listen(events, settle.subscribe()));
        let speaker = Speaker {
            life,
            client: client.clone(),
            user: self.part.user.clone(),
            speaks: self.part.speaks,
            rooms: self.rooms.clone(),
            notes: self.notes.clone(),
            orders: self.orders.clone(),
            random: random.fork(),
        };
        let mut speaking = tokio::spawn(speaker.speak(settle.subscribe()));

        let early = tokio::select! {
            () = self.lifetime(random) => true,
            () = until(&self.orders, |order| !matches!(order, Order::Listen | Order::Work)) => false,
        };
        if !early {
            tokio::select! {
                () = self.be_quiet(&client, &mut speaking) => self.dismissed().await,
                () = until(&self.orders, |order| *order == Order::Abandon) => {}
            }
        } else if way == Way::Crashed {
            self.notes.lock().ended(life, End::Crashed(Instant::now()));
            self.counts.crashed.one_more();
            return Ok(false);
        } else {
            settle.send_replace(way == Way::Settled);
            self.counts.closed.one_more();
        }
        // Whoever settles has taken everything before the client is closed: what is taken while it closes may come again.
        let mut listening = listening;
        let mut listened = way == Way::Settled && early && tokio::time::timeout(AT_ONCE, &mut listening).await.is_ok();
        let grace = Duration::from_millis(random.u64(..2_000));
        let closed = tokio::time::timeout(grace + AT_ONCE, client.close(grace)).await;
        let spoken = speaking.is_finished() || tokio::time::timeout(AT_ONCE, speaking).await.is_ok();
        listened = listened || tokio::time::timeout(AT_ONCE, listening).await.is_ok();
        let mut notes = self.notes.lock();
        notes.ended(life, if way == Way::Settled { End::Settled } else { End::Closed });
        if let Ok(Err(not_kept)) = &closed {
            notes.complain(format!("life {life}: {not_kept}"));
        }
        for (done, what) in [(closed.is_ok(), "client"), (spoken, "sends"), (listened, "updates")] {
            if !done {
                notes.complain(format!("the {what} of life {life} did not end when it was closed"));
            }
        }
        Ok(!early)
    }

    /// Everything that was said, in this life and before, is acked.
    async fn be_quiet(&self, client: &Client, speaking: &mut JoinHandle<()>) {
        let flushed = tokio::time::timeout(PATIENCE, async {
            // It ends by itself, and when it has panicked nothing more comes of it.
            let _ = speaking.await;
            client.flush().await
        });
        match flushed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.notes.lock().complain(format!("its last sends were not acked: {error}")),
            Err(_) => {
                let late = PATIENCE.as_secs();
                self.notes.lock().complain(format!("its last sends were not acked within {late} s"));
            }
        }
        self.counts.quiet.one_more();
    }

    async fn open(&self) -> Result<(Client, Events), String> {
        let Part { user, slow, lives, backoff, .. } = &self.part;
        let server = self.server.parse().map_err(|why| format!("{}: {why}", self.server))?;
        let mut config = Config::new(server, user.parse().map_err(|why| format!("{user}: {why}"))?);
        config.backoff = *backoff;
        config.state_file = lives.as_ref().map(|(state, _)| state.clone());
        // Few enough for a black hole to fill it.
        config.max_unsent = 200;
        if *slow {
            // As little as counts.
            config.mailbox_limits = MailboxLimits { updates: 256, bytes: 64 * 1024 };
        }
        let deadline = Instant::now() + AT_ONCE;
        loop {
            match connect(config.clone()).await {
                // What crashed here was no process, and what it kept takes a moment to be free.
                Err(OpenError::State(StateError::InUse(_))) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                opened => return opened.map_err(|error| format!("{user}: {error}")),
            }
        }
    }

    /// Until it is time for an application of many lives to end this one.
    async fn lifetime(&self, random: &mut fastrand::Rng) {
        let Some((_, lengths)) = &self.part.lives else { return std::future::pending().await };
        let length = Duration::from_millis(random.u64(lengths.clone()));
        until(&self.orders, |order| *order != Order::Listen).await;
        tokio::time::sleep(length).await;
    }

    /// Until it has read all that it had to.
    async fn dismissed(&self) {
        let mut deadline = None;
        loop {
            match now(&self.orders) {
                Order::Listen | Order::Work | Order::Quiet => {}
                Order::Finish(heads) => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                    // Whoever is too late has not read all, which is found in the end.
                    if self.notes.lock().has_read_to(&heads) || Instant::now() > deadline {
                        return;
                    }
                }
                Order::Abandon => return,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What is to be done now. Without anybody who could say it, nothing.
fn now(orders: &watch::Receiver<Order>) -> Order {
    if orders.has_changed().is_err() { Order::Abandon } else { orders.borrow().clone() }
}

async fn until(orders: &watch::Receiver<Order>, fits: impl FnMut(&Order) -> bool) {
    // Without anybody who could say something else, it is over anyway.
    let _ = orders.clone().wait_for(fits).await;
}

/// Joins all rooms.
async fn join(client: Client, rooms: Vec<String>, start: Start, notes: SharedNotes, count: Count) {
    let mut joining = JoinSet::new();
    for room in rooms {
        let client = client.clone();
        joining.spawn(async move { client.join(room, start).await });
    }
    while let Some(Ok(joined)) = joining.join_next().await {
        match joined {
            Ok(_) => count.one_more(),
            // It was closed before.
            Err(JoinError::Closed) => {}
            Err(error) => notes.lock().complain(format!("a room was not joined: {error}")),
        }
    }
}

/// Takes what an application is told.
struct Listener {
    life: usize,
    notes: SharedNotes,
    orders: watch::Receiver<Order>,
    slow: bool,
}

impl Listener {
    /// To the end, or until told to settle.
    async fn listen(self, mut events: Events, mut settle: watch::Receiver<bool>) -> Events {
        let mut awake = 0;
        loop {
            let update = tokio::select! {
                biased;
                Ok(_) = settle.wait_for(|settle| *settle) => None,
                update = events.next() => update,
            };
            // What was given last counts as seen when more is asked for.
            let update = update.or_else(|| events.try_next());
            let Some(update) = update else { return events };
            self.notes.lock().told(self.life, &update, Instant::now());
            awake += 1;
            if self.slow && awake >= AWAKE && now(&self.orders) == Order::Work {
                awake = 0;
                tokio::time::sleep(NAP).await;
            }
        }
    }
}

/// Says what an application has to say.
struct Speaker {
    life: usize,
    client: Client,
    user: String,
    speaks: bool,
    rooms: Vec<String>,
    notes: SharedNotes,
    orders: watch::Receiver<Order>,
    random: fastrand::Rng,
}

impl Speaker {
    /// Until it is told to be quiet or to settle, or its client is closed; and until all that was said has come to its end.
    async fn speak(mut self, mut settle: watch::Receiver<bool>) {
        let mut resolving = JoinSet::new();
        until(&self.orders, |order| *order != Order::Listen).await;
        while self.speaks && now(&self.orders) == Order::Work {
            let settled = async {
                // Without anybody who could say so, the life is over.
                let _ = settle.wait_for(|settle| *settle).await;
            };
            if !self.say(settled, &mut resolving).await {
                break;
            }
            // Those that have come to their end.
            while resolving.try_join_next().is_some() {}
        }
        while resolving.join_next().await.is_some() {}
    }

    /// One draft, and sometimes a pause. Answers whether there is more to say.
    async fn say(&mut self, settled: impl Future<Output = ()>, resolving: &mut JoinSet<()>) -> bool {
        tokio::pin!(settled);
        let Some(room) = self.random.choice(&self.rooms).cloned() else { return false };
        let mut text = format!("{} says ", self.user);
        for _ in 0..self.random.usize(20..200) {
            text.push(self.random.alphanumeric());
        }
        let Ok(id) = room.parse::<RoomId>() else { return false };
        let draft = Draft::new(id, Change::post(text.clone()));
        let id = draft.id.0;
        self.notes.lock().asked(self.life, id, &room, said(&room, &self.user, &text));
        let begun = Instant::now();
        let taken = if self.random.u8(..8) == 0 {
            self.client.try_enqueue(draft)
        } else {
            tokio::select! {
                taken = self.client.enqueue(draft) => taken,
                () = &mut settled => {
                    self.notes.lock().withdrawn(id);
                    return false;
                }
            }
        };
        match taken {
            Ok(sending) => {
                self.notes.lock().taken(id, Instant::now());
                let notes = self.notes.clone();
                resolving.spawn(async move {
                    let outcome = sending.await;
                    notes.lock().resolved(id, &room, outcome, begun.elapsed());
                });
            }
            Err(error) => {
                self.notes.lock().withdrawn(id);
                match error {
                    SendError::Full => {}
                    SendError::Closed => return false,
                    error => {
                        self.notes.lock().complain(format!("it may not send to {room}: {error}"));
                        return false;
                    }
                }
            }
        }
        let pause = Duration::from_millis(if self.random.u8(..3) == 0 { self.random.u64(..PAUSE) } else { 0 });
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = settled => false,
        }
    }
}
