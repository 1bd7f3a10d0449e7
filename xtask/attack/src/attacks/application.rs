//! Attacks on what is stored, and on what is kept in memory for readers.

use std::io;
use std::time::{Duration, Instant};

use super::calls::{CALLS, Sessions};
use crate::attacker::Attacker;
use crate::link::{Link, Reading};
use crate::messages::{self, EXAMPLE, LONGEST_TEXT, SEND_MESSAGE};
use crate::seed::BUSY_ROOM;

/// Sessions of one user: the most that a rate on sessions would allow.
const SESSIONS_PER_USER: usize = 16;

/// Readers, each in as many rooms as it may join.
const READERS: usize = 5;
const ROOMS: usize = 256;

/// How long messages are edited before they are deleted.
const EDITING: Duration = Duration::from_millis(1_500);

/// Fills rooms that are read.
pub(super) fn tails(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let mut sessions = Sessions::default();
    // The last one writes.
    sessions.open(&mut link, READERS + 1, |nth| attacker.name(nth))?;
    let rooms: Vec<String> = (0..READERS * ROOMS).map(|nth| attacker.name(nth)).collect();
    for (nth, room) in rooms.iter().enumerate() {
        sessions.send_on(&mut link, nth / ROOMS, &messages::join(room, 0))?;
    }
    let sends: Vec<Vec<u8>> = rooms.iter().map(|room| messages::send(room, LONGEST_TEXT)).collect();
    loop {
        for send in &sends {
            sessions.send_on(&mut link, READERS, send)?;
        }
    }
}

/// Edits a message for a while, deletes it, and begins again.
pub(super) fn edits(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    for nth in 0.. {
        let mut sessions = Sessions::default();
        let room = attacker.name(nth);
        sessions.open(&mut link, 1, |_| attacker.name(0))?;
        sessions.send_on(&mut link, 0, &messages::send(&room, LONGEST_TEXT))?;
        let edit = messages::edit(&room, 1, LONGEST_TEXT);
        let until = Instant::now() + EDITING;
        while Instant::now() < until {
            sessions.send_on(&mut link, 0, &edit)?;
        }
        sessions.send_on(&mut link, 0, &messages::delete(&room, 1))?;
    }
    Ok(())
}

/// Sends the longest texts on all sessions.
pub(super) fn sends(attacker: Attacker) -> io::Result<()> {
    let send = messages::send(&attacker.name(0), LONGEST_TEXT);
    repeat(attacker, |_| &send)
}

/// Sends the shortest texts, each to a room that did not exist.
pub(super) fn rooms(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let mut sessions = Sessions::default();
    for nth in 0.. {
        sessions.open(&mut link, CALLS, |nth| attacker.name(nth / SESSIONS_PER_USER))?;
        let send = messages::send(&attacker.name(nth), 1);
        if !sessions.send_on_any(&mut link, nth, &send)? {
            link.rest()?;
        }
    }
    Ok(())
}

/// Sends the longest texts without sessions.
pub(super) fn posts(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let name = attacker.name(0);
    let post = messages::post(&name, &name, LONGEST_TEXT);
    loop {
        while link.calls() < CALLS {
            link.ask(SEND_MESSAGE, &post)?;
        }
        link.rest()?;
    }
}

/// Sends the longest texts with calls of the example that are in a room.
pub(super) fn lines(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let (room, mut calls) = (attacker.name(0), Vec::new());
    let lines: Vec<Vec<u8>> =
        (0..CALLS / SESSIONS_PER_USER).map(|nth| messages::line(&attacker.name(nth), LONGEST_TEXT)).collect();
    loop {
        calls.retain(|&call| link.is_open(call));
        while calls.len() < CALLS && link.calls() < CALLS {
            calls.push(link.call(EXAMPLE, &[("chat-room", &room)])?);
        }
        let mut is_sent = false;
        for (nth, &call) in calls.iter().enumerate() {
            is_sent |= link.data(call, &lines[nth % lines.len()])?;
        }
        if !is_sent {
            link.rest()?;
        }
    }
}

/// Adds and removes reactions on all sessions.
pub(super) fn reacts(attacker: Attacker) -> io::Result<()> {
    let [add, remove] = [false, true].map(|remove| messages::react(BUSY_ROOM, 1, remove));
    repeat(attacker, |round| if round % 2 == 0 { &add } else { &remove })
}

/// Types on all sessions, in a room that they have joined.
pub(super) fn typing(attacker: Attacker) -> io::Result<()> {
    let (join, typing) = (messages::join(BUSY_ROOM, 0), messages::typing(BUSY_ROOM));
    repeat(attacker, |round| if round == 0 { &join } else { &typing })
}

/// Sends a message on every session, again and again.
fn repeat<'a>(attacker: Attacker, message: impl Fn(usize) -> &'a [u8]) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let mut sessions = Sessions::default();
    for round in 0.. {
        sessions.open(&mut link, CALLS, |nth| attacker.name(nth / SESSIONS_PER_USER))?;
        if !sessions.send(&mut link, |_| message(round))? {
            link.rest()?;
        }
    }
    Ok(())
}
