//! `chat` on a terminal: the screen.
//!
//! `app` is its state, `view` draws that, `screen` connects both with the client and the terminal. A key goes from
//! `terminal` to `app`, which returns what is to be done as effects; an update of the client goes the same way.

mod app;
mod authors;
mod editor;
mod keymap;
mod layout;
mod mention;
mod messages;
mod notices;
mod overlay;
mod palette;
mod room;
mod saved_rooms;
mod screen;
mod slash;
mod terminal;
mod text;
mod theme;
mod transcript;
mod view;

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use grpc_chat_client::{Client, Config, ConnectionState, Events, OpenError, RoomId, StateError, Update, connect};
use jiff::tz::TimeZone;
use tokio::time::Instant;

use crate::output::{Failure, note};
use app::App;
use screen::Screen;
use terminal::Terminal;
pub(crate) use theme::Background;
use theme::Theme;

/// How long unsent messages are waited for at the end, if there is a connection.
const GRACE: Duration = Duration::from_secs(2);

/// The files in which a user's chat is kept for the next run.
#[derive(Debug)]
pub(crate) struct Files {
    /// The library's state: drafts and cursors.
    pub(crate) state: PathBuf,
    /// Which rooms the user is in.
    pub(crate) rooms: PathBuf,
}

/// Shows `room`, if one is named, and the rooms of the last run, until the user quits.
pub(crate) async fn run(
    mut config: Config,
    room: Option<RoomId>,
    files: Option<Files>,
    background: Background,
) -> Result<(), Failure> {
    let mut rooms: Vec<RoomId> = room.into_iter().collect();
    if let Some(files) = &files {
        let saved = saved_rooms::read(&files.rooms);
        rooms.extend(saved.into_iter().filter(|saved| !rooms.contains(saved)).collect::<Vec<_>>());
    }
    let (client, events, warning) = open(&mut config, files.as_ref()).await?;
    let files = files.filter(|_| config.state_file.is_some());

    let mut terminal = Terminal::take()?;
    let theme = Theme::detect(background, |name| env::var(name).ok());
    let (size, now) = (terminal.size()?, Instant::now());
    let mut app = App::new(&config.user, &rooms, TimeZone::system(), theme.author_colours(), size, now);
    app.server = config.server.to_string();
    if let Some(warning) = warning {
        app.notify(true, warning);
    }
    let mut screen = Screen::new(app, theme, client, events, files.as_ref().map(|files| files.rooms.clone()));
    let ended = screen.run(&mut terminal).await;
    let (client, events, unsent) = screen.into_parts();
    // From here on the terminal is the user's again.
    drop(terminal);
    close(client, events, unsent, files.is_some()).await;
    ended
}

/// Starts the client. If its state cannot be used it works without, and returns a warning.
async fn open(config: &mut Config, files: Option<&Files>) -> Result<(Client, Events, Option<String>), Failure> {
    config.state_file = files.map(|files| files.state.clone());
    let warning = match connect(config.clone()).await {
        Ok((client, events)) => return Ok((client, events, None)),
        Err(OpenError::State(StateError::InUse(_))) => {
            "you have this chat open elsewhere too: what is unsent when you quit here is lost, so quit the other one first"
                .to_owned()
        }
        Err(OpenError::State(error)) => format!("what is unsent when you quit is lost: {error}"),
        Err(error) => return Err(error.into()),
    };
    config.state_file = None;
    let (client, events) = connect(config.clone()).await?;
    Ok((client, events, Some(warning)))
}

/// Ends the client, and says what becomes of unsent messages.
async fn close(client: Client, events: Option<Events>, mut unsent: usize, kept: bool) {
    // Nobody waits at a prompt for a network that is not there.
    let online = matches!(client.connection_state(), ConnectionState::Online { .. } | ConnectionState::Draining);
    let closing = client.close(if online { GRACE } else { Duration::ZERO });
    let counting = async {
        let Some(mut events) = events else { return };
        while let Some(update) = events.next().await {
            if let Update::Unsent(count) = update {
                unsent = count;
            }
        }
    };
    let (closed, ()) = tokio::join!(closing, counting);
    match closed {
        _ if unsent == 0 => {}
        Err(why) => note(&format!("{unsent} unsent when you quit, and lost: {why}")),
        Ok(()) if kept => note(&format!("{unsent} unsent when you quit; kept, and sent the next time")),
        Ok(()) => note(&format!("{unsent} unsent when you quit, and lost")),
    }
}
