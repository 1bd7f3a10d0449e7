//! Attacks on reading: pages and joins.

use std::io;

use crate::attacker::Attacker;
use crate::link::{Link, Reading};
use crate::messages::{self, LARGEST_PAGE, LIST_MESSAGES, SESSION};
use crate::seed::BUSY_ROOM;

/// Calls open at once on a connection: the most that the service allows.
pub(super) const CALLS: usize = 128;

/// Sessions that join again and again.
const JOINING: usize = 64;

/// How slowly "slowly" is: a page of a megabyte takes 6 s.
const SLOW: usize = 16 * 1024;

/// Asks for pages with a window of 0.
pub(super) fn pages_unread(attacker: Attacker) -> io::Result<()> {
    pages_on(Link::open_with_window(attacker.target, Reading::Fast, 0)?)
}

/// Asks for pages and reads them slowly.
pub(super) fn pages_slow(attacker: Attacker) -> io::Result<()> {
    pages_on(Link::open(attacker.target, Reading::Slow(SLOW))?)
}

/// Asks for pages and reads them.
pub(super) fn pages(attacker: Attacker) -> io::Result<()> {
    pages_on(Link::open(attacker.target, Reading::Fast)?)
}

fn pages_on(mut link: Link) -> io::Result<()> {
    let request = messages::list(BUSY_ROOM);
    loop {
        while link.calls() < CALLS {
            link.ask(LIST_MESSAGES, &request)?;
        }
        link.rest()?;
    }
}

/// Joins the busy room again and again, for as many events as there are.
pub(super) fn joins(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let mut sessions = Sessions::default();
    let join = messages::join(BUSY_ROOM, LARGEST_PAGE);
    loop {
        sessions.open(&mut link, JOINING, |nth| attacker.name(nth))?;
        if !sessions.send(&mut link, |_| &join)? {
            link.rest()?;
        }
    }
}

/// Opens sessions that join the busy room, and asks for pages, on a socket that is never read.
pub(super) fn unread(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Never)?;
    for nth in 0..CALLS / 2 {
        let session = link.call(SESSION, &[])?;
        link.data(session, &messages::hello(&attacker.name(nth)))?;
        for _ in 0..8 {
            link.data(session, &messages::join(BUSY_ROOM, LARGEST_PAGE))?;
        }
    }
    while link.calls() < CALLS {
        link.ask(LIST_MESSAGES, &messages::list(BUSY_ROOM))?;
    }
    link.hold()
}

/// Sessions on one connection.
#[derive(Default)]
pub(super) struct Sessions {
    streams: Vec<u32>,
}

impl Sessions {
    /// Opens sessions until there are so many. Those that have ended are opened again.
    pub(super) fn open(&mut self, link: &mut Link, wanted: usize, user: impl Fn(usize) -> String) -> io::Result<()> {
        self.streams.retain(|&stream| link.is_open(stream));
        while self.streams.len() < wanted && link.calls() < CALLS {
            let stream = link.call(SESSION, &[])?;
            link.data(stream, &messages::hello(&user(self.streams.len())))?;
            self.streams.push(stream);
        }
        Ok(())
    }

    /// Sends a message on each session whose window allows it. Returns whether there was one.
    pub(super) fn send<'a>(&self, link: &mut Link, message: impl Fn(usize) -> &'a [u8]) -> io::Result<bool> {
        let mut is_sent = false;
        for (nth, &stream) in self.streams.iter().enumerate() {
            is_sent |= link.data(stream, message(nth))?;
        }
        Ok(is_sent)
    }

    /// Sends a message on the nth session, counted from the first again behind the last, if its window allows it. Returns
    /// whether it did.
    pub(super) fn send_on_any(&self, link: &mut Link, nth: usize, message: &[u8]) -> io::Result<bool> {
        match self.streams.get(nth % self.streams.len().max(1)) {
            Some(&stream) => link.data(stream, message),
            None => Ok(false),
        }
    }

    /// Sends a message on one session, waiting for its window. Fails if the session has ended.
    pub(super) fn send_on(&self, link: &mut Link, nth: usize, message: &[u8]) -> io::Result<()> {
        let stream = self.streams.get(nth).copied().unwrap_or_default();
        while !link.data(stream, message)? {
            if !link.is_open(stream) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            link.rest()?;
        }
        Ok(())
    }
}
