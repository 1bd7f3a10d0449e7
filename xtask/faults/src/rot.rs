//! Bytes on disk change, vanish or appear while the service is down: it refuses to start, or says DATA_LOSS where it
//! reads. It never serves something else than what was acked.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::sync::watch;
use tonic::Code;
use xtask::service::Start;

use super::checker::{History, Reading};
use super::door::Door;
use super::fault::{Ended, Ending, Size, block_on};
use super::load::crew::{Crew, Pace, Until, tally};
use super::load::line::Line;
use super::load::reader::{self, Received};
use super::load::sender::Sent;
use super::load::{Counts, Task, events, heads, list};
use super::site::{Keeps, Site};

const ROOM: &str = "north";

/// More than what is read at every start, so that some damage is only found when it is read.
const MESSAGES: usize = 2_400;

const BLOCK: usize = 4096;

/// Sends not answered yet, of those that are repeated.
const AT_ONCE: usize = 256;

/// What a damage does to the bytes of a file.
type Harm = fn(&mut Vec<u8>, &mut fastrand::Rng);

struct Damage {
    what: &'static str,
    file: &'static str,
    harm: Harm,
}

const WAL: &str = "history.db-wal";
const DB: &str = "history.db";
const MARK: &str = "history.mark";

/// Each is done to the files as `kill -9` left them, and as an orderly end did, where the file is there.
const DAMAGES: [Damage; 14] = [
    Damage { what: "a bit of an old text in the WAL", file: WAL, harm: |bytes, random| flip(bytes, random, 0.05) },
    Damage { what: "a bit of a recent text in the WAL", file: WAL, harm: |bytes, random| flip(bytes, random, 0.95) },
    Damage { what: "a block in the WAL's middle", file: WAL, harm: |bytes, random| zero_middle(bytes, random) },
    Damage { what: "the WAL's tail", file: WAL, harm: |bytes, random| cut(bytes, random.usize(1..40_000)) },
    Damage { what: "the WAL's last byte", file: WAL, harm: |bytes, _| cut(bytes, 1) },
    Damage { what: "all of the WAL", file: WAL, harm: |bytes, _| bytes.clear() },
    Damage { what: "garbage behind the WAL", file: WAL, harm: garbage },
    Damage { what: "a bit of an old text", file: DB, harm: |bytes, random| flip(bytes, random, 0.05) },
    Damage { what: "a bit of a recent text", file: DB, harm: |bytes, random| flip(bytes, random, 0.95) },
    Damage { what: "a block in the middle", file: DB, harm: |bytes, random| zero_middle(bytes, random) },
    Damage { what: "the tail", file: DB, harm: |bytes, random| cut(bytes, random.usize(1..40_000)) },
    Damage { what: "all of it", file: DB, harm: |bytes, _| bytes.clear() },
    Damage { what: "garbage behind it", file: DB, harm: garbage },
    Damage { what: "the note's bytes", file: MARK, harm: |bytes, _| bytes.fill(0x55) },
];

pub(crate) fn run(size: Size) -> Ended {
    let rounds = size.rounds.unwrap_or(if size.small { 1 } else { 5 });
    block_on(async {
        let site = Site::new()?;
        let killed = site.path("killed");
        let service = site.start(Keeps::Data(&killed))?;
        let mut crew = Crew::new(&[ROOM], size.seed);
        for _ in 0..3 {
            let door = Door::Straight(site.server.clone());
            crew.sender(door, Pace { most: MESSAGES / 3, text: 200, ..Pace::STEADY });
        }
        if !crew.counts.acked.reaches(MESSAGES as u64, Duration::from_secs(60)).await {
            return Err("not everything was acked in time".into());
        }
        service.kill();
        let sent = crew.abandon_senders().await?;
        let ended = site.path("ended");
        copy(&killed, &ended)?;
        site.start(Keeps::Data(&ended))?.stop()?;

        let mut random = fastrand::Rng::with_seed(size.seed);
        let (mut refused, mut data_loss, mut harmless, mut wrong) = (0, 0, Vec::new(), Vec::new());
        for (state, folder) in [("killed", &killed), ("ended", &ended)] {
            for damage in (0..rounds).flat_map(|_| &DAMAGES) {
                let copied = site.path("copied");
                copy(folder, &copied)?;
                let file = copied.join(damage.file);
                let Ok(mut bytes) = fs::read(&file) else { continue };
                let before = bytes.clone();
                (damage.harm)(&mut bytes, &mut random);
                if bytes == before {
                    continue;
                }
                fs::write(&file, bytes)?;
                let name = format!("{state}, {} ({})", damage.what, damage.file);
                match met(&site, &copied, &sent).await? {
                    Met::Refused => refused += 1,
                    Met::DataLoss => data_loss += 1,
                    Met::AllThere => harmless.push(name),
                    Met::Wrong(how) => wrong.push(format!("{name}: {how}")),
                }
                fs::remove_dir_all(&copied)?;
            }
        }
        harmless.sort();
        harmless.dedup();
        let numbers = format!(
            "{refused} refused at start, {data_loss} told DATA_LOSS, all was there in spite of: {}",
            if harmless.is_empty() { "none".to_owned() } else { harmless.join("; ") }
        );
        if wrong.is_empty() {
            Ok(Ending::Held(numbers))
        } else {
            Err(format!("{numbers}; wrong:\n         {}", wrong.join("\n         ")).into())
        }
    })
}

/// What a client meets on damaged files.
enum Met {
    Refused,
    DataLoss,
    AllThere,
    Wrong(String),
}

async fn met(site: &Site, data: &Path, sent: &[Sent]) -> Result<Met, Box<dyn Error>> {
    let service = match site.try_start(&[], Keeps::Data(data))? {
        Start::Ended(status) if status.code() == Some(1) && !site.log().is_empty() => return Ok(Met::Refused),
        Start::Ended(status) => return Ok(Met::Wrong(format!("it ended with {status}: {}", site.log()))),
        Start::Listening(service) => service,
    };
    site.server.moved(service.address());
    let history = match list(&site.server.address(), ROOM).await {
        Ok(events) => Some(History::from([(ROOM.to_owned(), events)])),
        Err(status) if status.code() == Code::DataLoss => None,
        Err(status) => return Ok(Met::Wrong(format!("pages say {:?}: {}", status.code(), status.message()))),
    };
    let received = read(site, history.as_ref().map_or(Task::Work, |history| Task::Settle(heads(history)))).await?;
    if let Some(history) = &history {
        // Pages say that they are whole; then they are, whatever the session says.
        let until = if received.damaged { Until::Stopped } else { Until::Finished };
        let tally = tally(history, sent, std::slice::from_ref(&received), until);
        if !tally.violations.is_empty() {
            return Ok(Met::Wrong(format!("{tally}, streams ended with {:?}", received.ended)));
        }
        return if received.damaged { Ok(Met::DataLoss) } else { repeated(site).await };
    }
    if !received.damaged {
        return Ok(Met::Wrong(format!("pages say DATA_LOSS, and streams ended with {:?}", received.ended)));
    }
    // What it was told before that was right: acked messages may be missing, nothing else may be wrong.
    let told: Vec<_> = received.rooms.values().flat_map(Reading::seen).copied().collect();
    let tally = tally(&History::from([(ROOM.to_owned(), told)]), sent, &[received], Until::Stopped);
    let only_missing = tally.violations.len() == tally.lost;
    Ok(if only_missing { Met::DataLoss } else { Met::Wrong(format!("before DATA_LOSS: {tally}")) })
}

/// All is there, and stays there once: every message is sent again, by its sender and under its id, and is a duplicate.
async fn repeated(site: &Site) -> Result<Met, Box<dyn Error>> {
    let events = events(&site.server.address(), ROOM).await?;
    let senders: BTreeSet<&str> = events.iter().map(|event| event.sender.as_str()).collect();
    for sender in senders {
        let mut line = Line::open(&Door::Straight(site.server.clone()), sender).await?;
        for some in events.iter().filter(|event| event.sender == sender).collect::<Vec<_>>().chunks(AT_ONCE) {
            let mut open = HashMap::new();
            for event in some {
                let Some(pb::event::Body::Posted(posted)) = &event.body else { continue };
                let send = pb::Send {
                    room: ROOM.to_owned(),
                    text: posted.text.clone(),
                    client_msg_id: event.client_msg_id.clone(),
                    reply_to_seq: 0,
                    epoch: 0,
                };
                open.insert(line.say(client_frame::Body::Send(send)).await, event.seq);
            }
            while !open.is_empty() {
                let (reply_to, body) = line.hear().await?.ok_or("the stream ended")?;
                let Some(seq) = open.remove(&reply_to) else { continue };
                match body {
                    server_frame::Body::Ack(ack) if ack.duplicate && ack.seq == seq => {}
                    server_frame::Body::Ack(ack) => {
                        return Ok(Met::Wrong(format!(
                            "{seq} was sent again and acked at {}, {}",
                            ack.seq,
                            if ack.duplicate { "as a duplicate" } else { "as new" }
                        )));
                    }
                    server_frame::Body::Error(_) => return Ok(Met::DataLoss),
                    other => return Ok(Met::Wrong(format!("a sender was told {other:?}"))),
                }
            }
        }
    }
    Ok(Met::AllThere)
}

/// Reads the room from the beginning on one stream, for a few seconds at most.
async fn read(site: &Site, task: Task) -> Result<Received, Box<dyn Error>> {
    let tasks = watch::Sender::new(task);
    let plan = reader::Plan {
        user: "reader".to_owned(),
        rooms: vec![ROOM.to_owned()],
        seed: 0,
        counts: Counts::default(),
        comes_back: false,
    };
    let mut reading = tokio::spawn(reader::run(Door::Straight(site.server.clone()), plan, tasks.subscribe()));
    if let Ok(received) = tokio::time::timeout(Duration::from_secs(10), &mut reading).await {
        return Ok(received?);
    }
    tasks.send_replace(Task::Abandon);
    Ok(reading.await?)
}

fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    // As after a crash of the machine: memory shared between processes is not there any more.
    let shared = to.join("history.db-shm");
    if shared.exists() {
        File::options().write(true).truncate(true).open(shared)?;
    }
    Ok(())
}

/// Flips a bit of a letter of a text, about so far into the file.
fn flip(bytes: &mut [u8], random: &mut fastrand::Rng, place: f64) {
    let from = (bytes.len() as f64 * place) as usize;
    // A text is the only long run of letters and digits there is.
    let run = |at: &usize| bytes[*at..*at + 64].iter().all(u8::is_ascii_alphanumeric);
    let last = bytes.len().saturating_sub(64);
    if let Some(at) = (from..last).chain(0..from.min(last)).find(run) {
        bytes[at + random.usize(0..64)] ^= 1;
    }
}

fn zero_middle(bytes: &mut [u8], random: &mut fastrand::Rng) {
    if bytes.len() < 4 * BLOCK {
        return;
    }
    let from = random.usize(bytes.len() / 4..bytes.len() * 3 / 4 - BLOCK);
    bytes[from..from + BLOCK].fill(0);
}

fn cut(bytes: &mut Vec<u8>, by: usize) {
    bytes.truncate(bytes.len().saturating_sub(by));
}

fn garbage(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    bytes.extend((0..10_000).map(|_| random.u8(..)));
}
