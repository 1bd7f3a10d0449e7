//! A copy of the whole data directory is restored, and the history goes on differently. A reader that is away meanwhile is
//! told, and is not given other messages for those that it has seen.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use grpc_chat_client::{Backoff, Client, Config, Cursor, Events, ResetReason, Start, Update, Verdict, connect};

use super::checker::EventDigest;
use super::convert::event_digest;
use super::fault::{Ending, FaultResult, Size, block_on};
use super::load::history;
use super::proxy::{BlackHole, CutBudget, Proxy};
use super::site::{Site, Store};

const ROOM: &str = "north";

/// The most messages that are posted at a time.
const MOST: u64 = 30;

/// How long the reader may take for what it has to receive.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(size: Size) -> FaultResult {
    let rounds = size.rounds.unwrap_or(if size.small { 6 } else { 60 });
    block_on(async {
        let site = Site::new()?;
        let (data, copy) = (site.path("data"), site.path("copy"));
        let mut random = fastrand::Rng::with_seed(size.seed);
        let proxy = Proxy::start(site.server.clone(), CutBudget::new(0), random.u64(..)).await?;
        let mut service = site.start(Store::Disk(&data))?;
        let mut reader = Reader::join(&proxy).await?;
        let (mut forked, mut ahead) = (0, 0);
        for round in 0..rounds {
            reader.read_to(post(&site, random.u64(1..MOST)).await?).await?;
            service.kill();
            replace(&copy, &data)?;
            service = site.start(Store::Disk(&data))?;
            let seen = post(&site, random.u64(1..MOST)).await?;
            reader.read_to(seen).await?;
            reader.check(&site).await?;
            proxy.set_black_hole(BlackHole { up: true, down: true, refuse: true });
            service.kill();
            replace(&data, &copy)?;
            service = site.start(Store::Disk(&data))?;
            // In turn, so that a short fault has both.
            let beyond = round % 2 == 0;
            let head = post(&site, random.u64(if beyond { MOST..2 * MOST } else { 1..MOST })).await?;
            proxy.heal();
            // One that ends before the cursor shows by that alone.
            let reason = if head < seen { ResetReason::Ahead } else { ResetReason::Forked };
            *(if head < seen { &mut ahead } else { &mut forked }) += 1;
            reader.is_reset(reason, head).await?;
            reader.read_to(post(&site, 1).await?).await?;
            reader.check(&site).await?;
        }
        service.stop()?;
        Ok(Ending::Passed(format!(
            "{rounds} rounds, {forked} with other messages where the reader was, {ahead} that ended before"
        )))
    })
}

/// Replaces a data directory by a copy of another one.
fn replace(to: &Path, from: &Path) -> Result<(), Box<dyn Error>> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

/// Posts so many messages. Returns the seq of the last one.
async fn post(site: &Site, count: u64) -> Result<u64, Box<dyn Error>> {
    let (client, _) = connect(Config::new(site.server.address().parse()?, "writer".parse()?)).await?;
    let mut last = 0;
    for _ in 0..count {
        last = client.send(ROOM, format!("{:032x}", fastrand::u128(..))).await?.seq;
    }
    client.close(PATIENCE).await?;
    Ok(last)
}

/// A reader that uses the client library.
struct Reader {
    _client: Client,
    events: Events,
    /// Where the events begin: at the beginning, or where the last reset was.
    start: u64,
    received: Vec<EventDigest>,
}

impl Reader {
    async fn join(proxy: &Proxy) -> Result<Self, Box<dyn Error>> {
        let backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_millis(200) };
        let config = Config::new(proxy.address().parse()?, "reader".parse()?).backoff(backoff);
        let (client, events) = connect(config).await?;
        client.join(ROOM, Start::After(Cursor::BEGINNING)).await?;
        Ok(Self { _client: client, events, start: 0, received: Vec::new() })
    }

    async fn next(&mut self) -> Result<Update, Box<dyn Error>> {
        let update = tokio::time::timeout(PATIENCE, self.events.next()).await;
        let update = update.map_err(|_| format!("the reader received nothing for {} s", PATIENCE.as_secs()))?;
        update.ok_or_else(|| "the client has ended".into())
    }

    /// Receives events up to this one.
    async fn read_to(&mut self, seq: u64) -> Result<(), Box<dyn Error>> {
        while self.received.last().map_or(self.start, |last| last.seq) < seq {
            match self.next().await? {
                Update::Event(event) => self.received.push(event_digest(&event)),
                Update::Joined(joined) if joined.verdict != Verdict::Recovered => {
                    return Err(format!("an intact history is {:?} for the reader", joined.verdict).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Receives the reset, before any event.
    async fn is_reset(&mut self, reason: ResetReason, head: u64) -> Result<(), Box<dyn Error>> {
        loop {
            match self.next().await? {
                Update::Joined(joined) if (joined.verdict, joined.start) == (Verdict::Reset(reason), head) => break,
                update @ (Update::Joined(_) | Update::Event(_)) => {
                    return Err(format!("{reason:?} at {head} was due, and the reader received {update:?}").into());
                }
                _ => {}
            }
        }
        self.start = head;
        self.received.clear();
        Ok(())
    }

    /// Compares what was received since the last reset with the history.
    async fn check(&self, site: &Site) -> Result<(), Box<dyn Error>> {
        let history = history(&site.server.address(), &[ROOM.to_owned()]).await?;
        let expected = history.values().flatten().filter(|event| event.seq > self.start);
        if expected.eq(&self.received) {
            return Ok(());
        }
        Err(format!("what the reader received after {} is not what the history has", self.start).into())
    }
}
