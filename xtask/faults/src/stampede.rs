//! Everyone loses the service at once, and it comes back: everyone is there again soon, and they do not all come at once.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use grpc_chat_client::{Client, Config, ConnectionState, Cursor, Events, Start, Update, connect};
use tokio::sync::watch;
use tokio::task::JoinSet;
use xtask::service::Service;

use super::checker::{Notes, Reading, Sending, check, said};
use super::cutter::{Cuts, Cutter};
use super::fault::{Ended, Ending, Size, block_on, held};
use super::library;
use super::load::{Count, history};
use super::site::{Keeps, Site};

const ROOM: &str = "north";

/// How long the service is away.
const AWAY: Duration = Duration::from_secs(1);

/// How long everyone may take to be back; and in the short form, for machines that have other things to do.
const IN_TIME: Duration = Duration::from_secs(10);
const BUSY: Duration = Duration::from_secs(20);

/// How long is waited for what is not measured.
const PATIENCE: Duration = Duration::from_secs(120);

/// What counts as at once.
const AT_ONCE: Duration = Duration::from_millis(100);

/// How the service goes away.
#[derive(Clone, Copy, Debug)]
enum Left {
    Asked,
    Killed,
}

/// How everyone came back.
struct Return {
    service: Service,
    /// Since it listened again.
    took: Duration,
    /// When each connection was tried, from shortly before that.
    attempts: Vec<Instant>,
}

/// Clients in one room, which reach the service over one network that counts them.
struct Crowd {
    gate: Cutter,
    clients: Vec<Client>,
    listening: JoinSet<Reading>,
    /// How many are joined now.
    here: Arc<AtomicUsize>,
    delivered: Count,
    enough: watch::Sender<bool>,
    sending: Sending,
}

pub(crate) fn run(size: Size) -> Ended {
    let (all, in_time) = if size.small { (200, BUSY) } else { (1_000, IN_TIME) };
    // A client has one end of a connection, and the network two.
    let needed = 3 * all as u64 + 200;
    let allowed = rlimit::increase_nofile_limit(u64::MAX)?;
    if allowed < needed {
        return Ok(Ending::Skipped(format!("it takes {needed} open files, and `ulimit -Hn` allows {allowed}")));
    }
    block_on(async {
        let site = Site::new()?;
        let data = site.path("data");
        let mut service = site.start(Keeps::Data(&data))?;
        let gate = Cutter::start(site.server.clone(), Cuts::new(0), size.seed).await?;
        let mut crowd = Crowd::gather(gate, all).await?;
        let (mut rounds, mut violations) = (Vec::new(), Vec::new());
        for left in [Left::Asked, Left::Killed] {
            let back = crowd.lose(&site, service, left).await?;
            service = back.service;
            let (took, attempts) = (back.took.as_secs_f32(), back.attempts.len());
            let at_once = most_within(&back.attempts, AT_ONCE);
            let within = AT_ONCE.as_millis();
            if back.took > in_time {
                violations.push(format!("{left:?}: it took {took:.1} s until all were back"));
            }
            if at_once > most(all) {
                violations.push(format!("{left:?}: {at_once} attempts within {within} ms are a stampede"));
            }
            rounds.push(format!(
                "{left:?}: all back in {took:.1} s, by {attempts} attempts, at most {at_once} of them within {within} ms"
            ));
            crowd.say(&format!("{left:?}")).await?;
        }
        let history = history(&site.server.address(), &[ROOM.to_owned()]).await?;
        let (sending, readings) = crowd.leave().await?;
        let notes: Vec<_> = readings.iter().map(|reading| Notes { room: ROOM, reading, to_the_head: true }).collect();
        let mut tally = check(&history, &[&sending], &notes);
        tally.violations.extend(violations);
        service.stop()?;
        held(format!("{all} clients; {}; {tally}", rounds.join("; ")), &tally)
    })
}

impl Crowd {
    async fn gather(gate: Cutter, all: usize) -> Result<Self, Box<dyn Error>> {
        let mut crowd = Self {
            gate,
            clients: Vec::new(),
            listening: JoinSet::new(),
            here: Arc::new(AtomicUsize::new(0)),
            delivered: Count::default(),
            enough: watch::Sender::new(false),
            sending: Sending::default(),
        };
        for number in 0..all {
            let config = Config::new(crowd.gate.address().parse()?, user(number).parse()?);
            let (client, events) = connect(config).await?;
            let joining = client.clone();
            let (here, delivered, enough) =
                (Arc::clone(&crowd.here), crowd.delivered.clone(), crowd.enough.subscribe());
            crowd.listening.spawn(async move {
                let joined = joining.join(ROOM, Start::After(Cursor::BEGINNING)).await;
                drop(joining);
                // A client that is not in the room is missed.
                match joined {
                    Ok(_) => listen(events, &here, &delivered, enough).await,
                    Err(_) => Reading::default(),
                }
            });
            crowd.clients.push(client);
        }
        if !crowd.are_here(all).await {
            return Err(format!("{} of {all} joined in time", crowd.here.load(Ordering::Relaxed)).into());
        }
        Ok(crowd)
    }

    /// The service goes away for a while and comes back, and so does everyone.
    async fn lose(&self, site: &Site, service: Service, left: Left) -> Result<Return, Box<dyn Error>> {
        match left {
            Left::Asked => {
                let status = service.stop()?;
                if !status.success() {
                    return Err(format!("the service left with {status}: {}", site.log()).into());
                }
            }
            Left::Killed => service.kill(),
        }
        site.server.gone();
        tokio::time::sleep(AWAY).await;
        if !self.are_here(0).await {
            return Err(format!("{} clients did not notice in time", self.here.load(Ordering::Relaxed)).into());
        }
        let starting = Instant::now();
        let service = site.start(Keeps::Data(&site.path("data")))?;
        let back = Instant::now();
        if !self.are_here(self.clients.len()).await {
            let here = self.here.load(Ordering::Relaxed);
            return Err(format!("{here} of {} came back in time", self.clients.len()).into());
        }
        let took = back.elapsed();
        let mut attempts = self.gate.connections();
        attempts.retain(|at| *at >= starting);
        Ok(Return { service, took, attempts })
    }

    /// Waits until so many are in the room; `false` if they were not in time.
    async fn are_here(&self, many: usize) -> bool {
        let begun = Instant::now();
        while self.here.load(Ordering::Relaxed) != many {
            if begun.elapsed() > PATIENCE {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// One of them says something, and all receive it.
    async fn say(&mut self, text: &str) -> Result<(), Box<dyn Error>> {
        let speaker = self.clients.first().ok_or("there is nobody")?;
        let due = self.delivered.get() + self.clients.len() as u64;
        let ack = speaker.send(ROOM, text).await?;
        self.sending.sent(ack.id.0, ROOM, said(ROOM, &user(0), text));
        self.sending.acked(ack.id.0, ROOM, ack.seq, ack.duplicate);
        if self.delivered.reaches(due, PATIENCE).await {
            Ok(())
        } else {
            Err(format!("{} of {due} deliveries came in time", self.delivered.get()).into())
        }
    }

    /// Everyone leaves. Answers what was said, and what each of them saw.
    async fn leave(self) -> Result<(Sending, Vec<Reading>), Box<dyn Error>> {
        // What comes twice comes soon after.
        tokio::time::sleep(AT_ONCE).await;
        self.enough.send_replace(true);
        Ok((self.sending, self.listening.join_all().await))
    }
}

fn user(number: usize) -> String {
    format!("member{number}")
}

/// One client, until there is enough.
async fn listen(
    mut events: Events,
    here: &AtomicUsize,
    delivered: &Count,
    mut enough: watch::Receiver<bool>,
) -> Reading {
    let mut reading = Reading::default();
    loop {
        let update = tokio::select! {
            update = events.next() => update,
            _ = enough.wait_for(|enough| *enough) => return reading,
        };
        match update {
            // The session goes on until its end.
            Some(Update::Connection(ConnectionState::Draining)) => {}
            Some(Update::Connection(_)) => {
                if !reading.is_away() {
                    here.fetch_sub(1, Ordering::Relaxed);
                }
                reading.cut();
            }
            Some(Update::Joined(joined)) => {
                reading.joined(&library::joined(&joined));
                here.fetch_add(1, Ordering::Relaxed);
            }
            Some(Update::Event(event)) => {
                reading.event(library::seen(&event));
                delivered.one_more();
            }
            Some(Update::CaughtUp { seq, .. }) => reading.caught_up(seq),
            Some(_) => {}
            None => return reading,
        }
    }
}

/// The most of these, which are in order, that lie within so long.
fn most_within(times: &[Instant], span: Duration) -> usize {
    let within = |(first, from): (usize, &Instant)| times[first..].partition_point(|at| *at < *from + span);
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

/// How many attempts at once are no stampede, when so many have lost the service and it is back after [`AWAY`].
///
/// By then most have failed twice, and their next attempt comes anywhere within a second (the library's delays: up to 250 ms,
/// doubled each time, anywhere between none and that), which is a tenth of them in each tenth of it. With those who wait
/// shorter or longer it is an eighth, and by chance up to a sixth. A machine that does not run them for a moment adds as
/// many. Delays that vary by a quarter would bring more, and delays that do not vary bring all.
fn most(all: usize) -> usize {
    all / 3
}

#[cfg(test)]
mod tests {
    use grpc_chat_client::Backoff;

    use super::*;

    #[test]
    fn what_comes_at_once_is_counted() {
        let beginning = Instant::now();
        let at = |millis: &[u64]| millis.iter().map(|at| beginning + Duration::from_millis(*at)).collect::<Vec<_>>();
        assert_eq!(most_within(&[], AT_ONCE), 0);
        assert_eq!(most_within(&at(&[0, 100, 200]), AT_ONCE), 1);
        assert_eq!(most_within(&at(&[0, 50, 99, 100, 149, 160, 300]), AT_ONCE), 4);
    }

    /// The attempts of so many who lose the service at once, from when it is back until each has found it.
    fn attempts(all: usize, delay: impl Fn(&Backoff, u32, &mut fastrand::Rng) -> Duration) -> Vec<Instant> {
        let mut random = fastrand::Rng::with_seed(1);
        let (backoff, lost) = (Backoff::default(), Instant::now());
        let mut attempts = Vec::new();
        for _ in 0..all {
            let mut at = Duration::ZERO;
            for attempt in 0.. {
                at += delay(&backoff, attempt, &mut random);
                if at >= AWAY {
                    attempts.push(lost + at);
                    break;
                }
            }
        }
        attempts.sort_unstable();
        attempts
    }

    #[test]
    fn delays_that_vary_all_over_are_no_stampede_and_others_are() {
        for all in [200, 1_000] {
            let at_once = |share: f64| {
                let varied = |backoff: &Backoff, attempt, random: &mut fastrand::Rng| {
                    backoff.ceiling(attempt).mul_f64(1.0 - share * random.f64())
                };
                most_within(&attempts(all, varied), AT_ONCE)
            };
            assert!(at_once(1.0) * 3 < most(all) * 2, "with room for a busy machine");
            assert!(at_once(0.25) > most(all));
            assert_eq!(at_once(0.0), all);
        }
    }
}
