//! Opening many clients, and closing them.

use std::time::Duration;

use futures_util::StreamExt;
use grpc_chat_client::{Client, Config, ConnectionState, Events, Token, UserId, connect, sanitize};

use super::progress::Progress;
use super::speaker::MOST;
use crate::commands::with_advice;

/// Connections or rooms that are asked for at once: few enough for any listening socket to keep them waiting.
pub(super) const AT_ONCE: usize = 64;

/// Open files that a process has beside its connections, generously.
const OTHER_FILES: u64 = 64;

/// How long clients get to leave in order.
const CLOSE: Duration = Duration::from_secs(2);

/// The operating system's number for "too many open files", on all of its kinds that have one.
const TOO_MANY_FILES: &str = "(os error 24)";

/// Raises the limit on open files as far as it goes.
///
/// # Errors
///
/// A sentence, if that is not enough for so many connections.
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

/// Clients, and what each is told.
pub(super) struct Clients {
    pub(super) clients: Vec<Client>,
    pub(super) events: Vec<Events>,
}

/// Opens so many clients, each with a connection of its own. They are `{user}-bench-1` and so on, unless a token says who
/// they are: then all are the same user.
///
/// # Errors
///
/// A sentence, if one of them has no session at the first attempt.
pub(super) async fn open(config: &Config, count: usize, progress: &mut Progress) -> Result<Clients, String> {
    may_open(count as u64)?;
    let mut config = config.clone();
    // Nothing of a bench is for another run of the program.
    config.state_file = None;
    config.max_unsent = MOST;
    let config = &config;
    let (mut clients, mut events) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut opened = futures_util::stream::iter(1..=count).map(|number| one(config, number)).buffered(AT_ONCE);
    while let Some(client) = opened.next().await {
        let (client, told) = client.map_err(|why| failed(&why, clients.len(), count))?;
        clients.push(client);
        events.push(told);
        progress.show(|| format!("{} of {count} connected", clients.len()));
    }
    Ok(Clients { clients, events })
}

async fn one(config: &Config, number: usize) -> Result<(Client, Events), String> {
    let mut config = config.clone();
    config.user = user(&config, number)?;
    let (client, events) = connect(config).await.map_err(|error| error.to_string())?;
    match client.first_attempt().await {
        ConnectionState::Online { .. } => Ok((client, events)),
        ConnectionState::Reconnecting { why, .. } => Err(why),
        ConnectionState::Failed(why) => Err(format!("the service refuses the session: {why}")),
        _ => Err("the service is leaving".to_owned()),
    }
}

/// Who a client is.
fn user(config: &Config, number: usize) -> Result<UserId, String> {
    // The service knows by the token.
    if !matches!(config.token, Token::None) {
        return Ok(config.user.clone());
    }
    let user = format!("{}-bench-{number}", config.user);
    user.parse().map_err(|error| format!("{} cannot be a user: {error}", sanitize(&user)))
}

/// What to say when a connection could not be made.
pub(super) fn failed(why: &str, connected: usize, count: usize) -> String {
    let why = sanitize(why);
    let advice = match connected {
        _ if why.contains(TOO_MANY_FILES) => "; allow more with `ulimit -n`, or ask for fewer connections",
        0 => "",
        _ => "; a service takes only so many from one address",
    };
    match connected {
        0 => with_advice(&format!("{why}{advice}")),
        _ => format!("{connected} of {count} connections were made, and not the next one: {why}{advice}"),
    }
}

/// Lets them leave in order, for a while.
pub(super) async fn close(clients: impl IntoIterator<Item = Client>) {
    let closing = clients.into_iter().map(|client| client.close(CLOSE));
    // One that takes longer is cut when the process ends.
    // Nothing is kept.
    let _ = tokio::time::timeout(CLOSE, futures_util::future::join_all(closing)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_users_of_their_own_unless_a_token_says_who_they_are() {
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
        assert!(failed("nothing listens there", 0, 8).contains("cargo run -p grpc_chat_service"));
        let why = failed("no chat service answers (Too many open files (os error 24))", 5, 8);
        assert!(why.starts_with("5 of 8 connections") && why.ends_with("ask for fewer connections"), "{why}");
        assert!(failed("reset", 5, 8).ends_with("reset; a service takes only so many from one address"));
        assert!(!failed("\u{1b}[2J", 1, 2).contains('\u{1b}'));
    }

    #[test]
    fn more_connections_than_files_is_said_before_the_first_one() {
        may_open(1).unwrap();
        let why = may_open(u64::MAX / 2).unwrap_err();
        assert!(why.contains("ulimit -n"), "{why}");
    }
}
