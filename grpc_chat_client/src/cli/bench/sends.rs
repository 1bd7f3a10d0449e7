//! Acked sends under load: each message is answered by its ack.

use std::sync::Arc;

use clap::value_parser;
use grpc_chat_client::{Config, RoomId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::clients;
use super::pace::{Demand, Ticket};
use super::progress::Progress;
use super::report::{Parameters, Report, durability};
use super::run::Run;
use super::speaker::Speaker;
use super::stamp::SENDERS;
use super::terms::{Setting, Terms, all};

pub(super) const NAME: &str = "sends";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Clients, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u64).range(1..=SENDERS))]
    clients: u64,

    /// Messages of each client that are not yet acked; the service takes 1,024
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u64).range(1..=1_024))]
    in_flight: u64,

    /// Rooms to send in; each client does so in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..=1_000_000))]
    rooms: u64,

    #[command(flatten)]
    pub(super) terms: Terms,
}

/// Runs it.
///
/// # Errors
///
/// A sentence, if the service is not reached, or does not take a message.
pub(super) async fn run(args: &Args, config: &Config) -> Result<Report, String> {
    let Args { clients: count, in_flight, rooms: room_count, terms } = args;
    let mut progress = Progress::new(NAME);
    let run = Arc::new(Run::new(terms.size)?);
    let demand = terms.demand(in_flight * count);
    let ack_for_ack = matches!(demand, Demand::InFlight(_));
    let room = run.room()?;
    let rooms: Result<Arc<[RoomId]>, _> = match room_count {
        1 => Ok([room.clone()].into()),
        _ => (1..=*room_count).map(|number| format!("{room}/{number}").parse()).collect(),
    };
    let rooms = rooms.map_err(|error| error.to_string())?;

    let opened = clients::open(config, *count as usize, &mut progress).await?;
    let (mut speakers, mut takers) = (JoinSet::new(), Vec::new());
    for (index, client) in opened.clients.iter().enumerate() {
        let (ticket, tickets) = mpsc::unbounded_channel();
        let again = ack_for_ack.then(|| ticket.clone());
        let speaker = Speaker {
            run: Arc::clone(&run),
            client: client.clone(),
            index: index as u32,
            rooms: Arc::clone(&rooms),
            tickets,
            answers: 1,
        };
        let run = Arc::clone(&run);
        speakers.spawn(speaker.speak(move |sent, _, now| {
            run.tally.answered(index, sent.begun, now);
            if let Some(again) = &again {
                // It does not matter any more when the run is over.
                let _ = again.send(Ticket::Now);
            }
        }));
        takers.push(ticket);
    }
    let mut attending = JoinSet::new();
    for events in opened.events {
        attending.spawn(Arc::clone(&run).attend(events));
    }

    let unit = ["ack", "acks"];
    let setting = Setting { name: NAME, unit, config, terms, run: &run, demand, progress: &mut progress };
    let (durabilities, report) = setting.measure(takers, all(&mut speakers)).await?;
    clients::close(opened.clients).await;
    Ok(Report {
        parameters: Parameters {
            clients: Some(*count),
            rooms: Some(*room_count),
            room: Some(room.to_string()),
            in_flight: ack_for_ack.then_some(*in_flight),
            ..report.parameters
        },
        acked: Some(run.messages_sent()),
        durability: durabilities.into_iter().flatten().min().map(durability),
        reconnects: Some(run.reconnects()),
        ..report
    })
}
