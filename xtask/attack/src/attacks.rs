//! The attacks. Each is a function that runs on a thread for every attacking connection, and opens that connection. When
//! it returns, because the service has ended the connection, it is started again.

mod application;
mod bombs;
mod calls;
mod connections;
mod floods;
mod logs;
mod memory;
pub(crate) mod presence;
mod random;
mod resets;

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::attacker::Attacker;
use crate::progress;

/// How long an attacker waits before it connects again: a service that refuses at once would otherwise only be a test of
/// how fast this machine opens connections.
const RECONNECT: Duration = Duration::from_millis(5);

/// An attack.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) run: fn(Attacker) -> io::Result<()>,
    pub(crate) kind: Kind,
}

/// What an attack is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The protocol, or something that rates do not limit.
    Plain,
    /// Memory or time behind calls: it is also run with rates off, since budgets and fair queues have to do without them.
    Budget,
    /// Descriptors, of which the service gets few.
    Descriptors,
    /// A room with a crowd in it.
    Crowd,
}

#[rustfmt::skip]
pub(crate) const ATTACKS: &[Attack] = &[
    // What is behind the calls.
    Attack { name: "pages-unread", title: "128 of the largest page, none of which is read", run: calls::pages_unread, kind: Kind::Budget },
    Attack { name: "pages-slow", title: "128 of the largest page, read slowly", run: calls::pages_slow, kind: Kind::Budget },
    Attack { name: "pages", title: "the largest page again and again, 128 at once", run: calls::pages, kind: Kind::Budget },
    Attack { name: "joins", title: "64 sessions that join again and again", run: calls::joins, kind: Kind::Budget },
    Attack { name: "unread", title: "sessions of a socket that is never read", run: calls::unread, kind: Kind::Budget },
    Attack { name: "tails", title: "5 sessions in 256 busy rooms each", run: application::tails, kind: Kind::Budget },
    Attack { name: "edits", title: "messages that are edited very often, and deleted", run: application::edits, kind: Kind::Budget },
    Attack { name: "sends", title: "128 sessions that send 8 KiB", run: application::sends, kind: Kind::Budget },
    Attack { name: "posts", title: "128 calls at once that post 8 KiB", run: application::posts, kind: Kind::Budget },
    Attack { name: "lines", title: "128 calls of the example in a room that send 8 KiB", run: application::lines, kind: Kind::Budget },
    Attack { name: "rooms", title: "messages that create a room each", run: application::rooms, kind: Kind::Budget },
    Attack { name: "reacts", title: "128 sessions that add and remove reactions", run: application::reacts, kind: Kind::Budget },
    Attack { name: "typing", title: "128 sessions that type in a room", run: application::typing, kind: Kind::Budget },
    Attack { name: "presence", title: "a user who comes and goes among 5,120", run: presence::flap, kind: Kind::Crowd },
    // Logs.
    Attack { name: "log-hello", title: "sessions that say hello and end", run: logs::hello, kind: Kind::Budget },
    Attack { name: "log-long", title: "messages that are too long", run: logs::long, kind: Kind::Plain },
    Attack { name: "log-garbage", title: "messages that cannot be decoded", run: logs::garbage, kind: Kind::Plain },
    Attack { name: "log-http1", title: "requests of HTTP/1.1", run: logs::http1, kind: Kind::Plain },
    // Connections.
    Attack { name: "idle", title: "512 idle connections for each attacker", run: connections::idle, kind: Kind::Plain },
    Attack { name: "connections", title: "connections that use up 512 descriptors", run: connections::flood, kind: Kind::Descriptors },
    Attack { name: "slow-preface", title: "64 connections that send the preface byte by byte", run: connections::slow_preface, kind: Kind::Plain },
    Attack { name: "slow-headers", title: "64 connections that send headers byte by byte", run: connections::slow_headers, kind: Kind::Plain },
    // HTTP/2.
    Attack { name: "rapid-reset", title: "calls that are reset at once (CVE-2023-44487)", run: resets::rapid, kind: Kind::Plain },
    Attack { name: "made-you-reset", title: "calls that the service has to reset (CVE-2025-8671)", run: resets::made_you, kind: Kind::Plain },
    Attack { name: "continuation", title: "headers that never end", run: bombs::continuation, kind: Kind::Plain },
    Attack { name: "hpack", title: "headers that are 4,000 times as large when decoded", run: bombs::hpack, kind: Kind::Plain },
    Attack { name: "gzip", title: "messages that are 150 times as large when decompressed", run: bombs::gzip, kind: Kind::Plain },
    Attack { name: "ping", title: "PING frames", run: floods::ping, kind: Kind::Plain },
    Attack { name: "ping-unread", title: "PING frames whose replies are not read", run: floods::ping_unread, kind: Kind::Plain },
    Attack { name: "settings", title: "SETTINGS frames whose replies are not read", run: floods::settings, kind: Kind::Plain },
    Attack { name: "priority", title: "PRIORITY frames", run: floods::priority, kind: Kind::Plain },
    Attack { name: "window-update", title: "WINDOW_UPDATE frames", run: floods::window_update, kind: Kind::Plain },
    Attack { name: "empty-data", title: "DATA frames without data", run: floods::empty_data, kind: Kind::Plain },
    Attack { name: "small-frames", title: "128 calls, whose windows are filled with messages of 5 bytes", run: memory::small_frames, kind: Kind::Plain },
    Attack { name: "tiny-frames", title: "128 calls, whose windows are filled with frames of 1 byte", run: memory::tiny_frames, kind: Kind::Plain },
    Attack { name: "half-messages", title: "128 calls with a message that never ends", run: memory::half_messages, kind: Kind::Plain },
    Attack { name: "random", title: "random frames, and random bytes", run: random::run, kind: Kind::Plain },
];

/// Returns the attack of that name.
pub(crate) fn find(name: &str) -> Option<&'static Attack> {
    ATTACKS.iter().find(|attack| attack.name == name)
}

/// Attacks from so many connections until the process that reads the reports is gone.
pub(crate) fn run(attack: &'static Attack, target: SocketAddr, connections: usize) -> io::Result<()> {
    for number in 0..connections {
        thread::Builder::new().spawn(move || {
            for attempt in 0.. {
                // The end of a connection is not an error here.
                let _ = (attack.run)(Attacker { target, number, attempt });
                thread::sleep(RECONNECT);
            }
        })?;
    }
    progress::report()
}
