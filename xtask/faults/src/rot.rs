//! Bytes on disk change, vanish or appear while the service is down. It has to refuse to start, or report DATA_LOSS where the
//! damage is read, and must never deliver anything but what was acked.

mod damage;

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use stubs::chat::v1::{self as pb, client_frame, server_frame};
use tokio::sync::watch;
use tonic::Code;
use xtask::service::Start;

use self::damage::DAMAGES;
use super::checker::{History, ReaderLog};
use super::fault::{Ending, FaultResult, Size, block_on};
use super::load::clients::{Clients, Extent, tally};
use super::load::reader::{self, Command, Received};
use super::load::sender::{Sent, Workload};
use super::load::session::Session;
use super::load::{Counters, events, heads, list};
use super::route::Route;
use super::site::{Site, Store};

const ROOM: &str = "north";

/// More messages than are read at every start, so that some damage is found only when it is read.
const MESSAGES: usize = 2_400;

/// The number of messages that are sent again before their acks are read.
const RESENT_AT_ONCE: usize = 256;

pub(crate) fn run(size: Size) -> FaultResult {
    let rounds = size.rounds.unwrap_or(if size.small { 1 } else { 5 });
    block_on(async {
        let site = Site::new()?;
        let killed = site.path("killed");
        let service = site.start(Store::Disk(&killed))?;
        let mut clients = Clients::new(&[ROOM], size.seed);
        for _ in 0..3 {
            let workload = Workload { drafts: MESSAGES / 3, text_bytes: 200, ..Workload::STEADY };
            clients.add_sender(Route::Direct(site.server.clone()), workload);
        }
        if !clients.counters.acked.reaches(MESSAGES as u64, Duration::from_secs(60)).await {
            return Err("not everything was acked in time".into());
        }
        service.kill();
        let sent = clients.abandon_senders().await?;
        let stopped = site.path("stopped");
        copy(&killed, &stopped)?;
        site.start(Store::Disk(&stopped))?.stop()?;

        let mut random = fastrand::Rng::with_seed(size.seed);
        let (mut refused, mut data_loss, mut harmless, mut wrong) = (0, 0, Vec::new(), Vec::new());
        for (state, folder) in [("killed", &killed), ("stopped", &stopped)] {
            for damage in (0..rounds).flat_map(|_| &DAMAGES) {
                let copied = site.path("copied");
                copy(folder, &copied)?;
                let file = copied.join(damage.file);
                let Ok(mut bytes) = fs::read(&file) else { continue };
                let before = bytes.clone();
                (damage.apply)(&mut bytes, &mut random);
                if bytes == before {
                    continue;
                }
                fs::write(&file, bytes)?;
                let name = format!("{state}, {} ({})", damage.what, damage.file);
                match observe(&site, &copied, &sent).await? {
                    Observed::Refused => refused += 1,
                    Observed::DataLoss => data_loss += 1,
                    Observed::Intact => harmless.push(name),
                    Observed::Wrong(how) => wrong.push(format!("{name}: {how}")),
                }
                fs::remove_dir_all(&copied)?;
            }
        }
        harmless.sort();
        harmless.dedup();
        let summary = format!(
            "{refused} refused at the start, {data_loss} reported as DATA_LOSS, nothing lost in spite of: {}",
            if harmless.is_empty() { "none".to_owned() } else { harmless.join("; ") }
        );
        if wrong.is_empty() {
            Ok(Ending::Passed(summary))
        } else {
            Err(format!("{summary}; wrong:\n         {}", wrong.join("\n         ")).into())
        }
    })
}

/// What a service does with damaged files.
enum Observed {
    /// It refuses to start.
    Refused,
    DataLoss,
    /// Everything is there.
    Intact,
    Wrong(String),
}

/// Starts the service on damaged files and reads everything, by pages and by a session.
async fn observe(site: &Site, data: &Path, sent: &[Sent]) -> Result<Observed, Box<dyn Error>> {
    let service = match site.try_start(&[], Store::Disk(data))? {
        Start::Ended(status) if status.code() == Some(1) && !site.log().is_empty() => return Ok(Observed::Refused),
        Start::Ended(status) => return Ok(Observed::Wrong(format!("it ended with {status}: {}", site.log()))),
        Start::Listening(service) => service,
    };
    site.server.set_address(service.address());
    let history = match list(&site.server.address(), ROOM).await {
        Ok(events) => Some(History::from([(ROOM.to_owned(), events)])),
        Err(status) if status.code() == Code::DataLoss => None,
        Err(status) => {
            return Ok(Observed::Wrong(format!("pages failed with {:?}: {}", status.code(), status.message())));
        }
    };
    let command = history.as_ref().map_or(Command::Read, |history| Command::Finish(heads(history)));
    let received = read(site, command).await?;
    if let Some(history) = &history {
        // The pages were complete, so they have to be right, even if the session reports damage.
        let extent = if received.damaged { Extent::Partial } else { Extent::Complete };
        let tally = tally(history, sent, std::slice::from_ref(&received), extent);
        if !tally.violations.is_empty() {
            return Ok(Observed::Wrong(format!("{tally}, streams ended with {:?}", received.ended)));
        }
        return if received.damaged { Ok(Observed::DataLoss) } else { resend_all(site).await };
    }
    if !received.damaged {
        return Ok(Observed::Wrong(format!("pages report DATA_LOSS, and streams ended with {:?}", received.ended)));
    }
    // What was delivered before that has to be right: acked messages may be missing, and nothing else may be wrong.
    let delivered: Vec<_> = received.rooms.values().flat_map(ReaderLog::events).copied().collect();
    let tally = tally(&History::from([(ROOM.to_owned(), delivered)]), sent, &[received], Extent::Partial);
    let only_missing = tally.violations.len() == tally.lost;
    Ok(if only_missing { Observed::DataLoss } else { Observed::Wrong(format!("before DATA_LOSS: {tally}")) })
}

/// Sends every message again, by its sender and under its id. Each has to be a duplicate.
async fn resend_all(site: &Site) -> Result<Observed, Box<dyn Error>> {
    let events = events(&site.server.address(), ROOM).await?;
    let senders: BTreeSet<&str> = events.iter().map(|event| event.sender.as_str()).collect();
    for sender in senders {
        let mut session = Session::open(&Route::Direct(site.server.clone()), sender).await?;
        let sent: Vec<_> = events.iter().filter(|event| event.sender == sender).collect();
        for some in sent.chunks(RESENT_AT_ONCE) {
            let mut in_flight = HashMap::new();
            for event in some {
                let Some(pb::event::Body::Posted(posted)) = &event.body else { continue };
                let send = pb::Send {
                    room: ROOM.to_owned(),
                    text: posted.text.clone(),
                    client_msg_id: event.client_msg_id.clone(),
                    ..pb::Send::default()
                };
                in_flight.insert(session.send(client_frame::Body::Send(send)).await, event.seq);
            }
            while !in_flight.is_empty() {
                let (reply_to, body) = session.receive().await?.ok_or("the stream ended")?;
                let Some(seq) = in_flight.remove(&reply_to) else { continue };
                match body {
                    server_frame::Body::Ack(ack) if ack.duplicate && ack.seq == seq => {}
                    server_frame::Body::Ack(ack) => {
                        return Ok(Observed::Wrong(format!(
                            "{seq} was sent again and acked at {}, {}",
                            ack.seq,
                            if ack.duplicate { "as a duplicate" } else { "as new" }
                        )));
                    }
                    server_frame::Body::Error(_) => return Ok(Observed::DataLoss),
                    other => return Ok(Observed::Wrong(format!("a sender received {other:?}"))),
                }
            }
        }
    }
    Ok(Observed::Intact)
}

/// Reads the room from the beginning on one stream, for at most ten seconds.
async fn read(site: &Site, command: Command) -> Result<Received, Box<dyn Error>> {
    let commands = watch::Sender::new(command);
    let plan = reader::Plan {
        user: "reader".to_owned(),
        rooms: vec![ROOM.to_owned()],
        seed: 0,
        counters: Counters::default(),
        reconnects: false,
    };
    let mut reading = tokio::spawn(reader::run(Route::Direct(site.server.clone()), plan, commands.subscribe()));
    if let Ok(received) = tokio::time::timeout(Duration::from_secs(10), &mut reading).await {
        return Ok(received?);
    }
    commands.send_replace(Command::Abandon);
    Ok(reading.await?)
}

/// Copies a data folder as a crash of the machine leaves it.
fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    // The memory that processes share does not survive a crash.
    let shared = to.join("history.db-shm");
    if shared.exists() {
        File::options().write(true).truncate(true).open(shared)?;
    }
    Ok(())
}
