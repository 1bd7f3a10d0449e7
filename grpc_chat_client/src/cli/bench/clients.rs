//! Opens many clients, and closes them.

use std::time::Duration;

use futures_util::StreamExt;
use grpc_chat_client::{Client, Config, ConnectionState, Events, RoomId, Start, Token, UserId, connect, sanitize};

use super::measure::Progress;
use crate::commands::with_advice;

/// Connections that are opened at once: few enough for the queue of any listening socket.
const AT_ONCE: usize = 64;

/// Messages of one client that may be unacked where nothing else bounds them.
pub(super) const MAX_UNSENT: usize = 64 * 1024;

/// Open files that a process has beside its connections, generously.
const OTHER_FILES: u64 = 64;

/// How long clients get to leave in order.
const CLOSE: Duration = Duration::from_secs(2);

/// Raises the limit on open files as far as it goes. Fails if that is not enough for this many connections.
pub(super) fn may_open(connections: u64) -> Result<(), String> {
    // Where there is no such limit, there is nothing to raise.
    let Ok(files) = rlimit::increase_nofile_limit(u64::MAX) else { return Ok(()) };
    let needed = connections.saturating_add(OTHER_FILES);
    if files >= needed {
        return Ok(());
    }
    Err(format!(
        "{connections} connections need as many open files, and this process may have {files}; allow more with `ulimit -n \
         {needed}`, as root if need be, or ask for fewer"
    ))
}

/// Opens clients, each with its own connection; the first `receivers` of them join `room`. Their users are `{user}-bench-1` and
/// so on, unless a token says who they are: then all are the same user. Fails if one of them has no session at its first
/// attempt, or may not join.
pub(super) async fn open(
    config: &Config,
    count: u64,
    receivers: u64,
    room: &RoomId,
    progress: &Progress,
) -> Result<(Vec<Client>, Vec<Events>), String> {
    may_open(count)?;
    let mut config = config.clone();
    // Nothing of a bench is for another run of the program.
    config.state_file = None;
    config.max_unsent = MAX_UNSENT;
    let (mut clients, mut all_events) = (Vec::new(), Vec::new());
    let open = |number| open_one(&config, number, (number <= receivers).then_some(room));
    let mut opening = futures_util::stream::iter(1..=count).map(open).buffered(AT_ONCE);
    while let Some(opened) = opening.next().await {
        let (client, events) = opened.map_err(|why| not_connected(&why, clients.len(), count))?;
        clients.push(client);
        all_events.push(events);
        progress.show(&format!("{} of {count} connected", clients.len()));
    }
    Ok((clients, all_events))
}

async fn open_one(config: &Config, number: u64, room: Option<&RoomId>) -> Result<(Client, Events), String> {
    let mut config = config.clone();
    config.user = user(&config, number)?;
    let (client, events) = connect(config).await.map_err(|error| error.to_string())?;
    match client.first_attempt().await {
        ConnectionState::Online { .. } => {}
        ConnectionState::Reconnecting { why, .. } => return Err(why),
        ConnectionState::Failed(why) => return Err(format!("the service refuses the session: {why}")),
        _ => return Err("the service is leaving".to_owned()),
    }
    if let Some(room) = room {
        client.join(room, Start::Live).await.map_err(|error| format!("{room} is not joined: {error}"))?;
    }
    Ok((client, events))
}

fn user(config: &Config, number: u64) -> Result<UserId, String> {
    if !matches!(config.token, Token::None) {
        return Ok(config.user.clone());
    }
    let user = format!("{}-bench-{number}", config.user);
    user.parse().map_err(|error| format!("{user} cannot be a user: {error}"))
}

/// Returns the sentence for a connection that could not be made.
pub(super) fn not_connected(why: &str, connected: usize, count: u64) -> String {
    let why = sanitize(why);
    match connected {
        0 => with_advice(&why),
        _ => format!(
            "{connected} of {count} connections were made, and not the next one: {why}; a service takes only so many from one \
             address"
        ),
    }
}

/// Lets clients leave in order, for a while. What takes longer is cut when the process ends.
pub(super) async fn close(clients: impl IntoIterator<Item = Client>) {
    let closing = futures_util::future::join_all(clients.into_iter().map(|client| client.close(CLOSE)));
    // Nothing is kept.
    let _ = tokio::time::timeout(CLOSE, closing).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_different_users_unless_a_token_says_who_they_are() {
        let mut config = Config::new("http://127.0.0.1:9090".parse().unwrap(), "sam".parse().unwrap());
        assert_eq!(user(&config, 7).unwrap(), "sam-bench-7");
        config.token = Token::Fixed("secret".to_owned());
        assert_eq!(user(&config, 7).unwrap(), "sam");
        let long = "x".repeat(60).parse().unwrap();
        let why = user(&Config::new(config.server, long), 7).unwrap_err();
        assert!(why.contains("cannot be a user"), "{why}");
    }

    #[test]
    fn a_connection_that_is_not_made_says_which_one_and_what_to_do() {
        assert!(not_connected("nothing listens there", 0, 8).contains("cargo run -p grpc_chat_service"));
        let why = not_connected("reset", 5, 8);
        assert!(why.starts_with("5 of 8 connections"), "{why}");
        assert!(why.ends_with("reset; a service takes only so many from one address"), "{why}");
        assert!(!not_connected("\u{1b}[2J", 1, 2).contains('\u{1b}'));
    }

    #[test]
    fn more_connections_than_files_is_reported_before_the_first_one() {
        may_open(1).unwrap();
        let why = may_open(u64::MAX / 2).unwrap_err();
        assert!(why.contains("ulimit -n"), "{why}");
    }
}
