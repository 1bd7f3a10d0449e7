//! A room with a crowd in it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use super::calls::{CALLS, Sessions};
use crate::attacker::Attacker;
use crate::link::{Link, Reading};
use crate::messages;
use crate::seed::CROWDED_ROOM;
use crate::{progress, sources};

/// Connections with 128 sessions each.
const CONNECTIONS: usize = 40;

/// How many are in the room.
pub(crate) const CROWD: usize = CONNECTIONS * CALLS;

/// Enters and leaves the room.
pub(super) fn flap(attacker: Attacker) -> io::Result<()> {
    let mut link = Link::open(attacker.target, Reading::Fast)?;
    let mut sessions = Sessions::default();
    let [join, leave] = [messages::join(CROWDED_ROOM, 0), messages::leave(CROWDED_ROOM)];
    for round in 0.. {
        sessions.open(&mut link, 1, |_| attacker.name(0))?;
        if !sessions.send(&mut link, |_| if round % 2 == 0 { &join } else { &leave })? {
            link.rest()?;
        }
    }
    Ok(())
}

/// Fills the room, from many addresses, and stays until the process that reads the reports is gone.
pub(crate) fn crowd(target: SocketAddr) -> io::Result<()> {
    for number in 0..CONNECTIONS {
        let from = Ipv4Addr::new(127, 1, 0, number as u8 + 1);
        std::thread::Builder::new().spawn(move || {
            loop {
                // The service may refuse some at first, since so many come at once.
                let _ = stay(target, from, number);
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        })?;
    }
    progress::report()
}

fn stay(target: SocketAddr, from: Ipv4Addr, number: usize) -> io::Result<()> {
    let mut link = Link::over(sources::connect(from, target)?, |_, _| ())?;
    let mut sessions = Sessions::default();
    sessions.open(&mut link, CALLS, |nth| format!("crowd-{number}-{nth}"))?;
    for nth in 0..CALLS {
        sessions.send_on(&mut link, nth, &messages::join(CROWDED_ROOM, 0))?;
    }
    link.hold()
}
