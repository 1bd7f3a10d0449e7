//! All clients lose the service at once, and it comes back: they reconnect soon, and not all at the same moment.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use grpc_chat_client::{Client, Config, ConnectionState, Cursor, Events, Start, Update, connect};
use tokio::sync::watch;
use tokio::task::JoinSet;
use xtask::service::Service;

use super::checker::{ReaderLog, RoomReader, SenderLog, check, message_digest};
use super::convert;
use super::fault::{Ending, FaultResult, Size, block_on, passed};
use super::load::{Counter, history};
use super::proxy::{CutBudget, Proxy};
use super::site::{Site, Store};

const ROOM: &str = "north";

/// How long the service is down.
const DOWN: Duration = Duration::from_secs(1);

/// How long all clients may take to be back: in the full form, and in the short form, which runs on busy machines.
const BACK_WITHIN: Duration = Duration::from_secs(10);
const BACK_WITHIN_SMALL: Duration = Duration::from_secs(20);

/// How long is waited for what is not measured.
const PATIENCE: Duration = Duration::from_secs(120);

/// Attempts within this time count as simultaneous.
const WINDOW: Duration = Duration::from_millis(100);

/// How the service ends.
#[derive(Clone, Copy, Debug)]
enum Outage {
    Drain,
    Kill,
}

/// How the clients came back.
struct Recovery {
    service: Service,
    /// The time from the service listening until all clients were back.
    took: Duration,
    /// The time of each attempt to connect, from the start of the service on.
    attempts: Vec<Instant>,
}

/// Clients in one room, all behind one proxy, which counts their connections.
struct Crowd {
    proxy: Proxy,
    clients: Vec<Client>,
    listening: JoinSet<ReaderLog>,
    /// The number of clients that are in the room now.
    joined: Arc<AtomicUsize>,
    delivered: Counter,
    stop: watch::Sender<bool>,
    sender_log: SenderLog,
}

pub(crate) fn run(size: Size) -> FaultResult {
    let (all, limit) = if size.small { (200, BACK_WITHIN_SMALL) } else { (1_000, BACK_WITHIN) };
    // One end of a connection per client, and two in the proxy.
    let needed = 3 * all as u64 + 200;
    let allowed = rlimit::increase_nofile_limit(u64::MAX)?;
    if allowed < needed {
        return Ok(Ending::Skipped(format!("{needed} open files are needed, and `ulimit -Hn` allows {allowed}")));
    }
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let mut service = site.start(Store::Disk(&data))?;
        let proxy = Proxy::start(site.server.clone(), CutBudget::new(0), size.seed).await?;
        let mut crowd = Crowd::join(proxy, all).await?;
        let (mut rounds, mut violations) = (Vec::new(), Vec::new());
        for outage in [Outage::Drain, Outage::Kill] {
            let recovery = crowd.recover(&site, service, outage).await?;
            service = recovery.service;
            let (took, attempts) = (recovery.took.as_secs_f32(), recovery.attempts.len());
            let simultaneous = most_within(&recovery.attempts, WINDOW);
            let window = WINDOW.as_millis();
            if recovery.took > limit {
                violations.push(format!("{outage:?}: it took {took:.1} s until all clients were back"));
            }
            if simultaneous > simultaneous_limit(all) {
                violations.push(format!("{outage:?}: {simultaneous} attempts within {window} ms are a stampede"));
            }
            rounds.push(format!(
                "{outage:?}: all back in {took:.1} s after {attempts} attempts, at most {simultaneous} within {window} ms"
            ));
            crowd.send(&format!("{outage:?}")).await?;
        }
        let history = history(&site.server.address(), &[ROOM.to_owned()]).await?;
        let (sender, readers) = crowd.stop().await?;
        let readers: Vec<_> = readers.iter().map(|log| RoomReader { room: ROOM, log, to_the_head: true }).collect();
        let mut tally = check(&history, &[&sender], &readers);
        tally.violations.extend(violations);
        service.stop()?;
        passed(format!("{all} clients; {}; {tally}", rounds.join("; ")), &tally)
    })
}

impl Crowd {
    /// Connects so many clients and waits until all have joined the room.
    async fn join(proxy: Proxy, all: usize) -> Result<Self, Box<dyn Error>> {
        let mut crowd = Self {
            proxy,
            clients: Vec::new(),
            listening: JoinSet::new(),
            joined: Arc::new(AtomicUsize::new(0)),
            delivered: Counter::default(),
            stop: watch::Sender::new(false),
            sender_log: SenderLog::default(),
        };
        for number in 0..all {
            let config = Config::new(crowd.proxy.address().parse()?, user(number).parse()?);
            let (client, events) = connect(config).await?;
            let joining = client.clone();
            let (joined, delivered, stop) =
                (Arc::clone(&crowd.joined), crowd.delivered.clone(), crowd.stop.subscribe());
            crowd.listening.spawn(async move {
                let result = joining.join(ROOM, Start::After(Cursor::BEGINNING)).await;
                drop(joining);
                // A client that has not joined is missing from the count.
                match result {
                    Ok(_) => listen(events, &joined, &delivered, stop).await,
                    Err(_) => ReaderLog::default(),
                }
            });
            crowd.clients.push(client);
        }
        if !crowd.wait_until_joined(all).await {
            return Err(format!("only {} of {all} joined in time", crowd.joined.load(Ordering::Relaxed)).into());
        }
        Ok(crowd)
    }

    /// Ends the service, starts it again after [`DOWN`], and waits until all clients are back.
    async fn recover(&self, site: &Site, service: Service, outage: Outage) -> Result<Recovery, Box<dyn Error>> {
        match outage {
            Outage::Drain => {
                let status = service.stop()?;
                if !status.success() {
                    return Err(format!("the service ended with {status}: {}", site.log()).into());
                }
            }
            Outage::Kill => service.kill(),
        }
        site.server.set_unreachable();
        tokio::time::sleep(DOWN).await;
        if !self.wait_until_joined(0).await {
            return Err(format!("{} clients did not notice in time", self.joined.load(Ordering::Relaxed)).into());
        }
        let starting = Instant::now();
        let service = site.start(Store::Disk(&site.path("data")))?;
        let listening = Instant::now();
        if !self.wait_until_joined(self.clients.len()).await {
            let joined = self.joined.load(Ordering::Relaxed);
            return Err(format!("only {joined} of {} came back in time", self.clients.len()).into());
        }
        let took = listening.elapsed();
        let mut attempts = self.proxy.connections();
        attempts.retain(|at| *at >= starting);
        Ok(Recovery { service, took, attempts })
    }

    /// Waits until exactly so many clients are in the room. Returns `false` after [`PATIENCE`].
    async fn wait_until_joined(&self, count: usize) -> bool {
        let began = Instant::now();
        while self.joined.load(Ordering::Relaxed) != count {
            if began.elapsed() > PATIENCE {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Sends a message and waits until all clients have received it.
    async fn send(&mut self, text: &str) -> Result<(), Box<dyn Error>> {
        let client = self.clients.first().ok_or("there is no client")?;
        let expected = self.delivered.get() + self.clients.len() as u64;
        let ack = client.send(ROOM, text).await?;
        self.sender_log.sent(ack.id.0, ROOM, message_digest(ROOM, &user(0), text));
        self.sender_log.acked(ack.id.0, ROOM, ack.seq, ack.duplicate);
        if self.delivered.reaches(expected, PATIENCE).await {
            Ok(())
        } else {
            Err(format!("{} of {expected} deliveries came in time", self.delivered.get()).into())
        }
    }

    /// Stops all clients. Returns the log of the sender and of each reader.
    async fn stop(self) -> Result<(SenderLog, Vec<ReaderLog>), Box<dyn Error>> {
        // An event that comes twice comes the second time soon after the first.
        tokio::time::sleep(WINDOW).await;
        self.stop.send_replace(true);
        Ok((self.sender_log, self.listening.join_all().await))
    }
}

fn user(number: usize) -> String {
    format!("member{number}")
}

/// Logs what one client receives until `stop` is set.
async fn listen(
    mut events: Events,
    joined: &AtomicUsize,
    delivered: &Counter,
    mut stop: watch::Receiver<bool>,
) -> ReaderLog {
    let mut log = ReaderLog::default();
    loop {
        let update = tokio::select! {
            update = events.next() => update,
            _ = stop.wait_for(|stop| *stop) => return log,
        };
        match update {
            // The session goes on until the stream ends.
            Some(Update::Connection(ConnectionState::Draining)) => {}
            Some(Update::Connection(_)) => {
                if !log.is_away() {
                    joined.fetch_sub(1, Ordering::Relaxed);
                }
                log.stream_ended();
            }
            Some(Update::Joined(update)) => {
                log.joined(&convert::joined(&update));
                joined.fetch_add(1, Ordering::Relaxed);
            }
            Some(Update::Event(event)) => {
                log.event(convert::event_digest(&event));
                delivered.increment();
            }
            Some(Update::CaughtUp { seq, .. }) => log.caught_up(seq),
            Some(_) => {}
            None => return log,
        }
    }
}

/// Returns the most times, of these in ascending order, that lie within one span.
fn most_within(times: &[Instant], span: Duration) -> usize {
    let within = |(first, from): (usize, &Instant)| times[first..].partition_point(|at| *at < *from + span);
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

/// Returns how many attempts may be simultaneous when so many clients have lost the service for [`DOWN`].
///
/// By then most clients have failed twice, and their next attempt comes at any time within a second (the library's delays are
/// random between zero and a ceiling, which is 250 ms at first and doubles each time). That is a tenth of them in each tenth
/// of a second. With the clients that wait for less or for longer it is an eighth, and by chance up to a sixth. A machine that
/// pauses them for a moment doubles that. Delays that vary by only a quarter exceed the limit, and so do constant delays.
fn simultaneous_limit(all: usize) -> usize {
    all / 3
}

#[cfg(test)]
mod tests {
    use grpc_chat_client::Backoff;

    use super::*;

    #[test]
    fn simultaneous_attempts_are_counted() {
        let beginning = Instant::now();
        let at = |millis: &[u64]| millis.iter().map(|at| beginning + Duration::from_millis(*at)).collect::<Vec<_>>();
        assert_eq!(most_within(&[], WINDOW), 0);
        assert_eq!(most_within(&at(&[0, 100, 200]), WINDOW), 1);
        assert_eq!(most_within(&at(&[0, 50, 99, 100, 149, 160, 300]), WINDOW), 4);
    }

    /// Returns the first attempt of each client after [`DOWN`], when all lose the service at once.
    fn attempts(all: usize, delay: impl Fn(&Backoff, u32, &mut fastrand::Rng) -> Duration) -> Vec<Instant> {
        let mut random = fastrand::Rng::with_seed(1);
        let (backoff, lost) = (Backoff::default(), Instant::now());
        let mut attempts = Vec::new();
        for _ in 0..all {
            let mut at = Duration::ZERO;
            for attempt in 0.. {
                at += delay(&backoff, attempt, &mut random);
                if at >= DOWN {
                    attempts.push(lost + at);
                    break;
                }
            }
        }
        attempts.sort_unstable();
        attempts
    }

    #[test]
    fn fully_random_delays_are_no_stampede_and_others_are() {
        for all in [200, 1_000] {
            let simultaneous = |share: f64| {
                let varied = |backoff: &Backoff, attempt, random: &mut fastrand::Rng| {
                    backoff.ceiling(attempt).mul_f64(1.0 - share * random.f64())
                };
                most_within(&attempts(all, varied), WINDOW)
            };
            assert!(simultaneous(1.0) * 3 < simultaneous_limit(all) * 2, "leaves room for a busy machine");
            assert!(simultaneous(0.25) > simultaneous_limit(all));
            assert_eq!(simultaneous(0.0), all);
        }
    }
}
