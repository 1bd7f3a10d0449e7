//! `echo`: each message on a call of the example is answered by its reply.

use std::io;
use std::sync::Arc;

use grpc_chat_client::example::{self, ChatMessage, ConversationError, converse};
use grpc_chat_client::{Config, Refused, sanitize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::args::{Echo, Load};
use super::clients::{may_open, not_connected};
use super::measure::{Progress, measure};
use super::pace::Permit;
use super::report::Report;
use super::run::{Run, SENDERS, Stamp};
use crate::output::Failure;

pub(super) async fn echo(args: Echo, config: Config) -> Result<Report, Failure> {
    let progress = Progress("echo");
    let run = Arc::new(Run::new(args.common.size)?);
    let Echo { connections, streams, in_flight, .. } = args;
    may_open(connections)?;
    let (mut calls, mut permits) = (JoinSet::new(), Vec::new());
    for connected in 0..connections {
        let service = example::connect(&config.server, &config.tls).await;
        let service = service.map_err(|error| not_connected(&error.to_string(), connected as usize, connections))?;
        for _ in 0..streams {
            let (permit, taken) = unbounded_channel();
            let (again, name) = (in_flight.map(|_| permit.clone()), config.user.to_string());
            // Calls beyond those that a stamp can tell apart share a number.
            let sender = (permits.len() as u64 % SENDERS) as u32;
            let (outgoing, received) = sides(Arc::clone(&run), sender, name, taken, again);
            let service = service.clone();
            calls.spawn(async { converse(service, outgoing, received).await.map_err(|ended| failed(&ended)) });
            permits.push(permit);
        }
        progress.show(&format!("{} of {connections} connected", connected + 1));
    }

    let in_flight = in_flight.map(|each| each * connections * streams);
    let sending = async {
        while let Some(call) = calls.join_next().await {
            call.map_err(|error| format!("a task of the load generator has failed: {error}"))??;
        }
        match run.counts().under_way() {
            0 => Ok(()),
            under_way => Err(format!("the service ended its calls with {under_way} messages unanswered")),
        }
    };
    let measured = measure(&Load::Echo(args), &config.server, &run, progress, (in_flight, permits), sending).await;
    measured.map(|((), report)| report)
}

/// Returns the messages that a call sends, one for each permit until the run is over, and what it does with each reply.
/// `again`: each reply permits another message.
fn sides(
    run: Arc<Run>,
    sender: u32,
    name: String,
    permits: UnboundedReceiver<Permit>,
    mut again: Option<UnboundedSender<Permit>>,
) -> (impl tokio_stream::Stream<Item = ChatMessage> + Send + 'static, impl FnMut(&str) -> io::Result<()>) {
    let head = format!("{name}: ");
    let (mut number, sending, over) = (0, Arc::clone(&run), run.over.clone());
    let permits = UnboundedReceiverStream::new(permits).take_while(move |_| !over.is_cancelled());
    let messages = permits.map(move |permit| {
        let stamp = Stamp { sender, number, at: permit.used(&sending) };
        sending.sent(1);
        number += 1;
        ChatMessage { name: name.clone(), message: sending.text(stamp) }
    });

    let mut next = 0;
    let received = move |reply: &str| {
        let stamp = reply.strip_prefix(&head).and_then(|text| run.stamp(text));
        let stamp = stamp.filter(|stamp| (stamp.sender, stamp.number) == (sender, next));
        next += 1;
        let Some(stamp) = stamp else {
            return Err(io::Error::other(format!("reply {next} of a call is not to message {next}")));
        };
        run.answered(&[(stamp.at, run.now())]);
        // The call ends when there are no more permits.
        if run.over.is_cancelled() {
            again = None;
        }
        if let Some(again) = &again {
            let _ = again.send(Permit::Now);
        }
        Ok(())
    };
    (messages, received)
}

fn failed(ended: &ConversationError) -> String {
    let why = match ended {
        ConversationError::Output(error) => return error.to_string(),
        ConversationError::Service(status) => Refused::from(status).to_string(),
        // The connection was lost before the first reply.
        error => error.to_string(),
    };
    format!("a call was ended during the bench: {}", sanitize(&why))
}
