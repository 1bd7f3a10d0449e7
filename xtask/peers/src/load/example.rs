//! Load on the example: streams on which a number of messages is in flight all the time.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use prost::Message;
use stubs::ChatMessage;

use super::Load;
use super::poller::Poller;
use super::wire::{Buffer, Wire};
use crate::protocol::http2::{self, Http2};
use crate::protocol::number::{Number, Sequence, Template, text};

const PATH: &str = "/Chat/chat";

/// How many connections and streams there are, and how many messages on each stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// On each connection.
    pub(crate) streams: usize,
    /// On each stream. Fewer where flow control does not allow as many.
    pub(crate) in_flight: u64,
}

/// Clients of the example.
pub(crate) struct Example {
    shape: Shape,
    poller: Poller,
    buffer: Buffer,
    clients: Vec<Client>,
    answered: u64,
    /// How long each message took, if only one is in flight at a time.
    latencies: Vec<Duration>,
}

struct Client {
    wire: Wire,
    http2: Http2,
    message: Template,
    streams: Vec<Stream>,
    /// When something was last sent.
    sent_at: Instant,
}

struct Stream {
    next: Number,
    sent: u64,
    replies: Sequence,
}

impl Example {
    /// Opens all connections and streams.
    pub(crate) fn open(address: SocketAddr, shape: Shape) -> io::Result<Self> {
        let poller = Poller::new()?;
        let clients = (0..shape.connections).map(|token| Client::connect(address, &poller, token, shape.streams));
        let clients = clients.collect::<io::Result<_>>()?;
        Ok(Self { shape, poller, buffer: Buffer::new(), clients, answered: 0, latencies: Vec::new() })
    }

    fn measures_latency(&self) -> bool {
        self.shape.connections == 1 && self.shape.streams == 1 && self.shape.in_flight == 1
    }
}

impl Load for Example {
    fn step(&mut self, sending: bool, deadline: Instant) -> io::Result<()> {
        if sending && self.answered == 0 {
            // Later, replies make room for further messages.
            for client in &mut self.clients {
                client.send(self.shape.in_flight)?;
            }
        }
        for nth in 0..self.poller.wait(deadline)? {
            let measures_latency = self.measures_latency();
            let client = &mut self.clients[self.poller.ready(nth)];
            let answered = client.receive(&mut self.buffer)?;
            self.answered += answered;
            if measures_latency && answered > 0 {
                self.latencies.push(client.sent_at.elapsed());
            }
            client.send(if sending { self.shape.in_flight } else { 0 })?;
        }
        Ok(())
    }

    fn arrived(&self) -> u64 {
        self.answered
    }

    fn is_complete(&self) -> bool {
        let mut streams = self.clients.iter().flat_map(|client| &client.streams);
        streams.all(|stream| stream.replies.received() == stream.sent)
    }

    fn take_latencies(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.latencies)
    }
}

impl Client {
    fn connect(address: SocketAddr, poller: &Poller, token: usize, streams: usize) -> io::Result<Self> {
        let mut wire = Wire::connect(address, poller, token)?;
        let mut http2 = Http2::connect(&mut wire.out);
        for _ in 0..streams {
            http2.open(PATH, &mut wire.out);
        }
        let message = ChatMessage { name: "Sam".to_owned(), message: text() };
        let message = Template::new(http2::prefixed(&message.encode_to_vec()));
        let stream = || Stream { next: Number::FIRST, sent: 0, replies: Sequence::EMPTY };
        let streams = (0..streams).map(|_| stream()).collect();
        Ok(Self { wire, http2, message, streams, sent_at: Instant::now() })
    }

    /// Returns how many replies have arrived.
    fn receive(&mut self, buffer: &mut Buffer) -> io::Result<u64> {
        let (http2, streams, mut answered) = (&mut self.http2, &mut self.streams, 0);
        self.wire.receive(buffer, |bytes, out| {
            http2.receive(bytes, out, |stream, reply| {
                answered += 1;
                streams[stream].replies.check(reply)
            })
        })?;
        Ok(answered)
    }

    /// Sends on every stream until so many messages are in flight, or flow control allows no more.
    fn send(&mut self, in_flight: u64) -> io::Result<()> {
        for (call, stream) in self.streams.iter_mut().enumerate() {
            while stream.sent - stream.replies.received() < in_flight {
                let message = self.message.numbered(stream.next);
                if !self.http2.may_send(call, message.len()) {
                    break;
                }
                self.http2.send(call, message, &mut self.wire.out);
                stream.next.advance();
                stream.sent += 1;
            }
        }
        if !self.wire.out.is_empty() {
            self.sent_at = Instant::now();
            self.wire.flush()?;
        }
        Ok(())
    }
}
