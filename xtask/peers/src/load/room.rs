//! Load on a room: receivers, each on a connection of its own, and one publisher. Also receivers without a publisher, in
//! many rooms, that are only there.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::timerfd::TimerFd;

use super::poller::{self, Poller};
use super::wire::{Buffer, Wire};
use super::{Load, run_until};
use crate::protocol::number::{Number, Sequence};
use crate::protocol::{Arrival, PubSub, Role};

/// How many clients connect before the first of them have to be ready: fewer than a server lets wait for being accepted.
const CONNECTING: usize = 64;

/// The most messages in flight if the publisher sends at a fixed rate.
const PACED_IN_FLIGHT: u64 = 64;

/// How fast the publisher sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Whenever fewer than so many messages are on their way to the slowest receiver.
    InFlight(u64),
    /// So many messages per second, one at a time: what could not be sent in time is left out.
    PerSecond(u32),
}

/// A room's clients.
pub(crate) struct Room<P> {
    poller: Poller,
    buffer: Buffer,
    /// The publisher's token is their number, and the timer's is the next one.
    receivers: Vec<Client<P>>,
    publisher: Option<Client<P>>,
    pace: Pace,
    progress: Progress,
    next: Number,
    sent: u64,
    receipts: u64,
    ready: usize,
    /// For [`Pace::PerSecond`]: the timer, and whether it has expired since a message was sent.
    timer: Option<TimerFd>,
    is_due: bool,
}

struct Client<P> {
    wire: Wire,
    protocol: P,
    messages: Sequence,
}

impl<P: PubSub> Room<P> {
    /// Connects receivers and a publisher to one room, and waits until all have joined it.
    pub(crate) fn open(address: SocketAddr, room: &str, receivers: usize, pace: Pace) -> io::Result<Self> {
        let in_flight = match pace {
            Pace::InFlight(messages) => messages,
            Pace::PerSecond(_) => PACED_IN_FLIGHT,
        };
        let mut opened = Self::without_publisher(address, receivers, in_flight, |_| room.to_owned())?;
        opened.pace = pace;
        let publisher = Client::connect(address, &opened.poller, receivers, Role::Publisher, room, "publisher")?;
        opened.publisher = Some(publisher);
        opened.wait_until_ready(receivers + 1)?;
        if let Pace::PerSecond(rate) = pace {
            let timer = poller::timer(Duration::from_secs(1) / rate)?;
            opened.poller.add(&timer, receivers + 1)?;
            opened.timer = Some(timer);
        }
        Ok(opened)
    }

    /// Connects clients that only receive, each in the room that `room_of` names, and waits until all have joined.
    pub(crate) fn idle(address: SocketAddr, receivers: usize, room_of: impl Fn(usize) -> String) -> io::Result<Self> {
        Self::without_publisher(address, receivers, 1, room_of)
    }

    fn without_publisher(
        address: SocketAddr,
        receivers: usize,
        in_flight: u64,
        room_of: impl Fn(usize) -> String,
    ) -> io::Result<Self> {
        let mut opened = Self {
            poller: Poller::new()?,
            buffer: Buffer::new(),
            receivers: Vec::with_capacity(receivers),
            publisher: None,
            pace: Pace::InFlight(0),
            progress: Progress::new(receivers, in_flight),
            next: Number::FIRST,
            sent: 0,
            receipts: 0,
            ready: 0,
            timer: None,
            is_due: false,
        };
        while opened.receivers.len() < receivers {
            let token = opened.receivers.len();
            let (room, user) = (room_of(token), format!("user-{token}"));
            let client = Client::connect(address, &opened.poller, token, Role::Receiver, &room, &user)?;
            opened.receivers.push(client);
            if opened.receivers.len().is_multiple_of(CONNECTING) || opened.receivers.len() == receivers {
                opened.wait_until_ready(opened.receivers.len())?;
            }
        }
        Ok(opened)
    }

    fn wait_until_ready(&mut self, clients: usize) -> io::Result<()> {
        run_until(self, "the replies to all that join", |room| room.ready >= clients)
    }

    fn publish(&mut self) -> io::Result<()> {
        let mut end = self.progress.received_by_all + self.progress.in_flight();
        if let Pace::PerSecond(_) = self.pace {
            end = end.min(self.sent + u64::from(self.is_due));
            self.is_due = false;
        }
        let Some(publisher) = &mut self.publisher else { return Ok(()) };
        while self.sent < end && publisher.protocol.publish(self.next, &mut publisher.wire.out) {
            self.next.advance();
            self.sent += 1;
        }
        publisher.wire.flush()
    }

    fn handle(&mut self, token: usize) -> io::Result<()> {
        if token > self.receivers.len() {
            self.is_due = true;
            return self.timer.as_ref().map_or(Ok(()), |timer| Ok(timer.wait()?));
        }
        let Some(client) = self.receivers.get_mut(token).or(self.publisher.as_mut()) else { return Ok(()) };
        let (protocol, messages, progress) = (&mut client.protocol, &mut client.messages, &mut self.progress);
        client.wire.receive(&mut self.buffer, |bytes, out| {
            protocol.receive(bytes, out, |arrival| {
                match arrival {
                    Arrival::Message(message) => {
                        progress.add(messages.received());
                        messages.check(message)?;
                    }
                    Arrival::Receipt => self.receipts += 1,
                    Arrival::Ready => self.ready += 1,
                }
                Ok(())
            })
        })?;
        client.wire.flush()
    }
}

impl<P: PubSub> Load for Room<P> {
    fn step(&mut self, sending: bool, deadline: Instant) -> io::Result<()> {
        if sending {
            self.publish()?;
        }
        for nth in 0..self.poller.wait(deadline)? {
            self.handle(self.poller.ready(nth))?;
        }
        self.progress.advance();
        Ok(())
    }

    fn arrived(&self) -> u64 {
        self.progress.delivered
    }

    fn is_complete(&self) -> bool {
        self.progress.received_by_all == self.sent && (!P::RECEIPTS || self.receipts == self.sent)
    }
}

impl<P: PubSub> Client<P> {
    fn connect(
        address: SocketAddr,
        poller: &Poller,
        token: usize,
        role: Role,
        room: &str,
        user: &str,
    ) -> io::Result<Self> {
        let mut wire = Wire::connect(address, poller, token)?;
        let protocol = P::connect(role, room, user, &mut wire.out);
        wire.flush()?;
        Ok(Self { wire, protocol, messages: Sequence::EMPTY })
    }
}

/// How far the receivers are.
struct Progress {
    receivers: u32,
    /// For each message in flight, by its number modulo their number: how many receivers have received it.
    received_by: Vec<u32>,
    /// How many messages all receivers have received.
    received_by_all: u64,
    /// Messages received by all receivers together.
    delivered: u64,
}

impl Progress {
    fn new(receivers: usize, in_flight: u64) -> Self {
        let received_by = vec![0; in_flight as usize];
        Self { receivers: receivers as u32, received_by, received_by_all: 0, delivered: 0 }
    }

    fn in_flight(&self) -> u64 {
        self.received_by.len() as u64
    }

    /// Records that a receiver has received this message.
    fn add(&mut self, message: u64) {
        let slot = message as usize % self.received_by.len();
        self.received_by[slot] += 1;
        self.delivered += 1;
    }

    /// Finds out how many messages all receivers have received by now.
    fn advance(&mut self) {
        loop {
            let slot = self.received_by_all as usize % self.received_by.len();
            if self.received_by[slot] != self.receivers {
                return;
            }
            self.received_by[slot] = 0;
            self.received_by_all += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_receiver_sets_the_progress() {
        let mut progress = Progress::new(2, 3);
        for message in [0, 1, 2, 0] {
            progress.add(message);
        }
        progress.advance();
        assert_eq!((progress.received_by_all, progress.delivered), (1, 4));
        // The first receiver gets the message that has been sent since, and the second catches up.
        for message in [3, 1, 2, 3] {
            progress.add(message);
        }
        progress.advance();
        assert_eq!((progress.received_by_all, progress.delivered), (4, 8));
        progress.advance();
        assert_eq!(progress.received_by_all, 4);
    }
}
