//! `chat` on a terminal: a screen to talk in.
//!
//! `app` is what is on the screen and what keys do, `view` draws it, and what stands here connects them with the client
//! and the terminal.

mod app;
mod editor;
mod messages;
mod notices;
mod room;
mod slash;
mod terminal;
mod text;
mod theme;
mod transcript;
mod view;

use std::future::pending;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::time::Duration;
use std::{env, fs};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use grpc_chat_client::{
    Client, Config, ConnectionState, Events, JoinError, OpenError, Page, PageAt, RoomId, Start, StateError, Update,
    connect,
};
use jiff::tz::TimeZone;
use tokio::time::Instant;

use crate::commands::stopped;
use crate::output::{Failure, note};
use app::{App, Effect};
use room::Wanted;
use terminal::Terminal;
use theme::Theme;

/// Messages that a room begins with, and that a page of older ones has.
const FIRST: u32 = 200;
const PAGE: u32 = 300;

/// The shortest time between two drawings of what comes from elsewhere. What the user does is drawn at once.
const FRAME: Duration = Duration::from_millis(33);

/// Updates that are taken before the screen is drawn and keys are looked at.
const TURN: usize = 512;

/// Keys that are taken before the screen is drawn.
const INPUTS: usize = 64;

/// How long what is unsent is waited for at the end, if there is a connection.
const GRACE: Duration = Duration::from_secs(2);

/// What is kept on disk: by the library, and which rooms were joined.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) state: PathBuf,
    pub(crate) rooms: PathBuf,
}

/// Takes part in `room`, if one is named, and in those of the last time, until the user leaves.
pub(crate) async fn run(mut config: Config, room: Option<String>, kept: Option<Kept>) -> Result<(), Failure> {
    let mut rooms: Vec<String> = room.into_iter().collect();
    if let Some(kept) = &kept {
        let named = rooms.first().cloned();
        rooms.extend(read_rooms(&kept.rooms).into_iter().filter(|kept| Some(kept) != named.as_ref()));
    }
    if rooms.is_empty() {
        return Err(Failure::Usage("say which room: `chat ROOM`; none is remembered yet".to_owned()));
    }
    let mut warning = None;
    let (client, events) = match &kept {
        None => connect(config.clone()).await?,
        Some(kept) => {
            config.state_file = Some(kept.state.clone());
            match connect(config.clone()).await {
                Ok(connected) => connected,
                // Another screen of this user, perhaps. This one works without.
                Err(OpenError::State(error)) => {
                    warning = Some(match error {
                        StateError::InUse(_) => {
                            "another screen of yours keeps what is unsent; this one does not".to_owned()
                        }
                        error => format!("what is unsent when you leave is lost: {error}"),
                    });
                    config.state_file = None;
                    connect(config.clone()).await?
                }
                Err(error) => return Err(error.into()),
            }
        }
    };
    let kept = kept.filter(|_| config.state_file.is_some());
    let mut terminal = Terminal::take()?;
    let theme = Theme::new(env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    let mut app = App::new(&config.user, &rooms, TimeZone::system(), theme, terminal.size()?, Instant::now());
    app.server = config.server.to_string();
    if let Some(warning) = warning {
        app.say(true, warning);
    }
    let kept_rooms = kept.as_ref().map(|kept| kept.rooms.clone());
    let pending = FuturesUnordered::new();
    let mut screen = Screen { app, client, events: Some(events), kept_rooms, pending, over: false };
    screen.keep_rooms();
    let ended = screen.run(&mut terminal).await;
    let Screen { app, client, events, .. } = screen;
    // From here on the terminal is the user's again.
    drop(terminal);
    // Nobody waits at a prompt for a network that is not there.
    let online = matches!(client.connection_state(), ConnectionState::Online { .. } | ConnectionState::Draining);
    let closing = client.close(if online { GRACE } else { Duration::ZERO });
    // What was written last has not been counted yet.
    let mut unsent = app.unsent;
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
        Err(why) => note(&format!("{unsent} unsent when you left, and lost: {why}")),
        Ok(()) if kept.is_some() => note(&format!("{unsent} unsent when you left; kept, and sent next time")),
        Ok(()) => note(&format!("{unsent} unsent when you left, and lost")),
    }
    ended
}

/// What is awaited.
type Answer = Pin<Box<dyn Future<Output = Done>>>;

/// What came of something that was done.
enum Done {
    Page { room: String, wanted: Wanted, page: Result<Page, String> },
    Rooms(Result<Vec<String>, String>),
    Nothing,
}

struct Screen {
    app: App,
    client: Client,
    /// `None` once the client is over: what is on the screen can still be read.
    events: Option<Events>,
    kept_rooms: Option<PathBuf>,
    pending: FuturesUnordered<Answer>,
    over: bool,
}

impl Screen {
    async fn run(&mut self, terminal: &mut Terminal) -> Result<(), Failure> {
        let mut inputs = terminal::inputs()?;
        let mut stopped = pin!(stopped());
        let mut due = Due { drawn: Instant::now(), at: Some(Instant::now()) };
        loop {
            for effect in self.app.effects() {
                self.carry_out(effect, terminal)?;
            }
            if self.over {
                return Ok(());
            }
            if due.is_now() {
                terminal.draw(|frame| view::draw(frame, &mut self.app))?;
                due = Due { drawn: Instant::now(), at: None };
            }
            // A key that is held down must not keep the client from running, nor what it tells from being heard.
            tokio::task::yield_now().await;
            tokio::select! {
                input = inputs.recv() => {
                    let Some(input) = input else { return Err(Failure::Failed("the terminal is gone".to_owned())) };
                    self.app.input(input?, Instant::now());
                    // What was done faster than it can be drawn is drawn together.
                    for _ in 0..INPUTS {
                        let Ok(input) = inputs.try_recv() else { break };
                        self.app.input(input?, Instant::now());
                    }
                    self.app.settle();
                    due.now();
                }
                signal = &mut stopped => {
                    self.app.mark();
                    for effect in self.app.effects() {
                        self.carry_out(effect, terminal)?;
                    }
                    return Err(Failure::Stopped(signal));
                }
                () = at(due.at) => {}
                () = at(self.app.deadline()) => {
                    self.app.tick(Instant::now());
                    due.soon();
                }
                update = next(self.events.as_mut()) => {
                    self.updates(update);
                    due.soon();
                }
                Some(done) = self.pending.next(), if !self.pending.is_empty() => {
                    self.done(done);
                    due.soon();
                }
            }
        }
    }

    /// An update, and those that are there already.
    fn updates(&mut self, first: Option<Update>) {
        let now = Instant::now();
        if first.is_none() {
            self.events = None;
        }
        let more = std::iter::from_fn(|| self.events.as_mut().and_then(Events::try_next));
        for update in first.into_iter().chain(more).take(TURN) {
            self.app.update(update, now);
        }
        self.app.settle();
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Page { room, wanted, page } => self.app.page(&room, wanted, page),
            Done::Rooms(Ok(rooms)) => self.app.listed(rooms),
            Done::Rooms(Err(why)) => self.app.say(true, format!("the rooms cannot be listed: {why}")),
            Done::Nothing => {}
        }
        self.app.settle();
    }

    fn carry_out(&mut self, effect: Effect, terminal: &mut Terminal) -> io::Result<()> {
        let client = self.client.clone();
        match effect {
            Effect::Quit => self.over = true,
            Effect::Repaint => terminal.forget()?,
            Effect::Post(draft) => {
                if let Err(error) = client.try_enqueue(draft.clone()) {
                    self.app.not_taken(draft, &error.to_string());
                }
            }
            Effect::Join(room) => self.later(async move {
                match client.join(room, Start::Last(FIRST)).await {
                    // A refusal comes as an update, too.
                    Ok(_)
                    | Err(JoinError::Refused(_) | JoinError::Left | JoinError::Failed(_) | JoinError::Closed | _) => {
                        Done::Nothing
                    }
                }
            }),
            Effect::Leave(room) => self.later(async move {
                client.leave(room).await;
                Done::Nothing
            }),
            Effect::Keep => self.keep_rooms(),
            // It may be the last thing that is done.
            Effect::Mark { room, seq } => self.at_once(async move {
                client.mark_read(room, seq).await;
                Done::Nothing
            }),
            // Before the message, which goes at once.
            Effect::Typing(room) => self.at_once(async move {
                client.typing(room).await;
                Done::Nothing
            }),
            Effect::Page { room, wanted } => self.later(async move {
                let place = match wanted {
                    Wanted::Older(seq) => PageAt::Before(seq),
                    Wanted::Newer(seq) => PageAt::After(seq),
                };
                let page = client.history(room.clone(), place, PAGE).await.map_err(|why| why.to_string());
                Done::Page { room, wanted, page }
            }),
            Effect::ListRooms => self.later(async move {
                let rooms = client.rooms().await.map_err(|why| why.to_string());
                Done::Rooms(rooms.map(|rooms| rooms.into_iter().map(|room| room.id.to_string()).collect()))
            }),
        }
        Ok(())
    }

    /// Unless the client is very busy.
    fn at_once(&mut self, work: impl Future<Output = Done> + 'static) {
        let mut work = Box::pin(work);
        if work.as_mut().now_or_never().is_none() {
            self.pending.push(work);
        }
    }

    /// A few bytes, and not synced: nobody waits for that.
    fn keep_rooms(&mut self) {
        let Some(path) = &self.kept_rooms else { return };
        let names: Vec<&str> = self.app.rooms.iter().map(|room| room.name.as_str()).collect();
        if let Err(error) = write_rooms(path, &names) {
            self.app.say(true, format!("which rooms you are in cannot be kept: {error}"));
        }
    }

    fn later(&mut self, work: impl Future<Output = Done> + 'static) {
        self.pending.push(Box::pin(work));
    }
}

/// When the screen is drawn next.
struct Due {
    drawn: Instant,
    at: Option<Instant>,
}

impl Due {
    fn is_now(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    /// For what the user does.
    fn now(&mut self) {
        self.at = Some(Instant::now());
    }

    /// For what comes from elsewhere: at once, unless that was just done.
    fn soon(&mut self) {
        let soon = self.drawn + FRAME;
        self.at = Some(self.at.map_or(soon, |at| at.min(soon)));
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}

async fn next(events: Option<&mut Events>) -> Option<Update> {
    match events {
        Some(events) => events.next().await,
        None => pending().await,
    }
}

/// One room a line. A file that is not there, or not a list of rooms, is none.
fn read_rooms(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|room| room.parse::<RoomId>().is_ok()).map(str::to_owned).collect()
}

fn write_rooms(path: &Path, rooms: &[&str]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create(true).truncate(true).open(&new)?;
    file.write_all(rooms.iter().map(|room| format!("{room}\n")).collect::<String>().as_bytes())?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_kept_for_their_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sam%rooms.txt");
        assert!(read_rooms(&path).is_empty());
        write_rooms(&path, &["general", "team/ops"]).unwrap();
        assert_eq!(read_rooms(&path), ["general", "team/ops"]);
        #[cfg(unix)]
        {
            let permissions = fs::metadata(&path).unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777, 0o600);
        }
        fs::write(&path, "general\n\u{1b}[2J\n//\n").unwrap();
        assert_eq!(read_rooms(&path), ["general"]);
    }
}
