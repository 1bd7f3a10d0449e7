//! The example under load: each message is answered by its reply.

use std::io;
use std::sync::Arc;

use clap::value_parser;
use grpc_chat_client::example::{self, ChatMessage, ConversationError};
use grpc_chat_client::{Config, sanitize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::clients::{failed, may_open};
use super::pace::{Demand, Ticket};
use super::progress::Progress;
use super::report::{Parameters, Report};
use super::run::Run;
use super::stamp::SENDERS;
use super::terms::{Setting, Terms, all};

pub(super) const NAME: &str = "echo";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Connections, each a core's work for the service at the most
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u64).range(1..=10_000))]
    connections: u64,

    /// Calls on each connection; the service takes 128
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u64).range(1..=128))]
    streams: u64,

    /// Messages of each call that are not yet answered
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u64).range(1..=1_024))]
    in_flight: u64,

    #[command(flatten)]
    pub(super) terms: Terms,
}

/// Runs it.
///
/// # Errors
///
/// A sentence, if the service is not reached, ends a call, or answers something else.
pub(super) async fn run(args: &Args, config: &Config) -> Result<Report, String> {
    let Args { connections, streams, in_flight, terms } = args;
    let mut progress = Progress::new(NAME);
    let run = Arc::new(Run::new(terms.size)?);
    let demand = terms.demand(in_flight * connections * streams);
    let answer_for_answer = matches!(demand, Demand::InFlight(_));

    may_open(*connections)?;
    let (mut calls, mut takers) = (JoinSet::new(), Vec::new());
    for connected in 0..*connections {
        let service = example::connect(&config.server, &config.tls).await;
        let service = service.map_err(|error| failed(&error.to_string(), connected as usize, *connections as usize))?;
        for _ in 0..*streams {
            let (ticket, tickets) = mpsc::unbounded_channel();
            let call = Call {
                run: Arc::clone(&run),
                index: takers.len(),
                name: config.user.to_string(),
                again: answer_for_answer.then(|| ticket.clone()),
            };
            let service = service.clone();
            calls.spawn(async move {
                let (outgoing, received) = call.sides(tickets);
                let ended = example::converse(service, outgoing, received).await;
                ended.map_err(|ended| broken(&ended))
            });
            takers.push(ticket);
        }
        progress.show(|| format!("{} of {connections} connected", connected + 1));
    }

    let unit = ["reply", "replies"];
    let setting = Setting { name: NAME, unit, config, terms, run: &run, demand, progress: &mut progress };
    let (_, report) = setting.measure(takers, all(&mut calls)).await?;
    if run.under_way() > 0 {
        return Err(format!("the service ended its calls with {} messages unanswered", run.under_way()));
    }
    Ok(Report {
        parameters: Parameters {
            connections: Some(*connections),
            streams: Some(*streams),
            in_flight: answer_for_answer.then_some(*in_flight),
            ..report.parameters
        },
        ..report
    })
}

/// One call.
#[derive(Debug)]
struct Call {
    run: Arc<Run>,
    /// Which of the calls it is.
    index: usize,
    /// Whom it speaks for.
    name: String,
    /// A reply gives leave to send another message.
    again: Option<mpsc::UnboundedSender<Ticket>>,
}

impl Call {
    /// What it sends, until the run is over and there are no more tickets, and what it does with each reply.
    fn sides(
        self,
        tickets: mpsc::UnboundedReceiver<Ticket>,
    ) -> (impl tokio_stream::Stream<Item = ChatMessage> + Send + 'static, impl FnMut(&str) -> io::Result<()>) {
        let Self { run, index, name, mut again } = self;
        let head = format!("{name}: ");
        // So many that they do not fit into a stamp have numbers in common.
        let sender = (index as u64 % SENDERS) as u32;

        let (sending, ending) = (Arc::clone(&run), Arc::clone(&run));
        let mut number = 0;
        let messages = UnboundedReceiverStream::new(tickets).take_while(move |_| !ending.over.is_cancelled());
        let messages = messages.map(move |ticket| {
            let begun = sending.leaves(ticket);
            let message = sending.text(sender, number, begun);
            sending.sent(1);
            number += 1;
            ChatMessage { name: name.clone(), message }
        });

        let mut next = 0;
        let received = move |reply: &str| {
            let now = run.clock.now();
            let stamp = reply.strip_prefix(&head).and_then(|text| run.read(text));
            match stamp {
                Some(stamp) if (stamp.sender, stamp.number) == (sender, next) => {
                    run.tally.answered(index, stamp.at, now);
                    next += 1;
                }
                _ => return Err(io::Error::other(format!("reply {} of a call is not to message {0}", next + 1))),
            }
            if run.over.is_cancelled() {
                again = None;
            }
            if let Some(again) = &again {
                // Who takes the tickets has ended only if the call has.
                let _ = again.send(Ticket::Now);
            }
            Ok(())
        };
        (messages, received)
    }
}

fn broken(ended: &ConversationError) -> String {
    match ended {
        ConversationError::Output(error) => error.to_string(),
        ConversationError::Service(status) => {
            let why = if status.message().is_empty() { status.code().description() } else { status.message() };
            format!("a call was ended during the bench: {}", sanitize(why))
        }
    }
}
