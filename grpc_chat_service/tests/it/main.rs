//! The service at its boundary: every test starts a server of its own on a free port, in this process or as the real
//! binary, and talks to it over a socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, a panic is a failed assertion")]

mod support;

mod admin;
mod budgets;
mod call_errors;
mod cli;
mod configuration;
mod discovery;
mod drain;
mod drain_sessions;
mod example;
mod example_in_rooms;
mod heartbeat;
mod hello;
mod limits;
mod logs;
mod malformed_frames;
mod metrics;
mod nodes;
mod pages;
mod presence;
mod rates;
mod requests;
mod restored;
mod resume;
mod rooms;
mod send_message;
mod simulation;
mod stalled_calls;
mod stalled_sessions;
mod storage;
mod unread_replies;
