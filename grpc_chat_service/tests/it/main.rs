//! The service seen from outside: every test starts a server of its own on a free port and talks to it
//! over a socket, in process or as the real binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: helpers fail like asserts do")]

mod support;

mod cli;
mod conversation;
mod discovery;
mod drain;
mod drain_sessions;
mod example_in_rooms;
mod heartbeat;
mod limits;
mod logs;
mod pages;
mod presence;
mod refusals;
mod resume;
mod rooms;
mod session;
mod simulation;
mod slow_readers;
