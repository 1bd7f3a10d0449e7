//! A room under load: each message is delivered to every receiver.

use std::sync::Arc;

use clap::value_parser;
use futures_util::StreamExt;
use grpc_chat_client::{Client, Config, MailboxLimits, RoomId, Start, sanitize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::clients;
use super::drive::Broken;
use super::hall::Hall;
use super::pace::Demand;
use super::progress::Progress;
use super::report::{Parameters, Report, durability};
use super::run::Run;
use super::speaker::Speaker;
use super::stamp::SENDERS;
use super::terms::{Setting, Terms, all};

pub(super) const NAME: &str = "fan-out";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Clients that receive the room, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u64).range(1..=100_000))]
    receivers: u64,

    /// Clients that send, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..=SENDERS))]
    senders: u64,

    /// Messages in all that are on their way to the slowest receiver
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u64).range(1..=1_000_000))]
    in_flight: u64,

    /// The room [default: a new one]
    #[arg(long, value_name = "ROOM")]
    room: Option<RoomId>,

    #[command(flatten)]
    pub(super) terms: Terms,
}

/// Runs it.
///
/// # Errors
///
/// A sentence, if the service is not reached, does not take a message, or a receiver has not heard what was acked.
pub(super) async fn run(args: &Args, config: &Config) -> Result<Report, String> {
    let Args { receivers, senders, in_flight, room, terms } = args;
    let mut progress = Progress::new(NAME);
    let run = Arc::new(Run::new(terms.size)?);
    let demand = terms.demand(*in_flight);
    let one_for_one = matches!(demand, Demand::InFlight(_));
    let room = room.clone().map_or_else(|| run.room(), Ok)?;

    let mut config = config.clone();
    if one_for_one {
        // What is in flight is not too much for whoever takes it as fast as these do.
        let MailboxLimits { updates, bytes } = config.mailbox_limits;
        let messages = 2 * *in_flight as usize;
        config.mailbox_limits =
            MailboxLimits { updates: updates.max(messages), bytes: bytes.max(messages * terms.size) };
    }
    let opened = clients::open(&config, (receivers + senders) as usize, &mut progress).await?;
    let (mut clients, mut events) = (opened.clients, opened.events);
    let speaking = clients.split_off(*receivers as usize);
    let told = events.split_off(*receivers as usize);
    join(&clients, &room, &mut progress).await?;

    let (takers, taken): (Vec<_>, Vec<_>) = speaking.iter().map(|_| mpsc::unbounded_channel()).unzip();
    let hall = Arc::new(Hall::new(Arc::clone(&run), *receivers as u32, one_for_one.then(|| takers.clone())));
    let mut listening = JoinSet::new();
    for (index, events) in events.into_iter().enumerate() {
        listening.spawn(Arc::clone(&hall).listen(index, events));
    }
    let (mut attending, mut speakers) = (JoinSet::new(), JoinSet::new());
    let rooms: Arc<[RoomId]> = [room.clone()].into();
    for (index, ((client, tickets), events)) in speaking.iter().zip(taken).zip(told).enumerate() {
        let index = index as u32;
        let (run, client, rooms) = (Arc::clone(&run), client.clone(), Arc::clone(&rooms));
        attending.spawn(Arc::clone(&run).attend(events));
        let speaker = Speaker { run, client, index, rooms, tickets, answers: *receivers };
        let hall = Arc::clone(&hall);
        speakers.spawn(speaker.speak(move |sent, ack, _| hall.acked(ack.seq, index, sent.number)));
    }

    let load = async {
        let durabilities = tokio::select! {
            ended = all(&mut listening) => return Err(too_soon(ended)),
            spoken = all(&mut speakers) => spoken?,
        };
        tokio::select! {
            ended = all(&mut listening) => return Err(too_soon(ended)),
            () = hall.all_heard() => {}
        }
        hall.check()?;
        Ok(durabilities)
    };
    let unit = ["delivery", "deliveries"];
    let setting = Setting { name: NAME, unit, config: &config, terms, run: &run, demand, progress: &mut progress };
    let measured = setting.measure(takers, load).await;
    let (durabilities, report) = measured.map_err(|broken| match broken {
        Broken::Failed(why) => why,
        Broken::Stalled(why) => hall.behind(why),
    })?;
    listening.abort_all();
    clients::close(clients.into_iter().chain(speaking)).await;
    Ok(Report {
        parameters: Parameters {
            receivers: Some(*receivers),
            senders: Some(*senders),
            room: Some(room.to_string()),
            in_flight: one_for_one.then_some(*in_flight),
            ..report.parameters
        },
        acked: Some(hall.acked_so_far()),
        durability: durabilities.into_iter().flatten().min().map(durability),
        reconnects: Some(run.reconnects()),
        ..report
    })
}

/// Seats them all in the room, before anything is said there.
async fn join(clients: &[Client], room: &RoomId, progress: &mut Progress) -> Result<(), String> {
    let joining = clients.iter().cloned().map(|client| async move { client.join(room, Start::Live).await });
    let mut joining = futures_util::stream::iter(joining).buffer_unordered(clients::AT_ONCE);
    let mut joined = 0;
    while let Some(seated) = joining.next().await {
        seated.map_err(|error| format!("{room} is not joined: {}", sanitize(&error.to_string())))?;
        joined += 1;
        progress.show(|| format!("{joined} of {} joined", clients.len()));
    }
    Ok(())
}

/// A receiver has ended although it should go on.
fn too_soon(ended: Result<Vec<()>, String>) -> String {
    ended.err().unwrap_or_else(|| "the receivers have ended before their time".to_owned())
}
