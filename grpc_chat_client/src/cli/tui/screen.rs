//! The loop that connects the state of the screen with the client and the terminal: it takes what has come, then draws
//! once.

use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use grpc_chat_client::{Client, Events, Page, PageAt, RoomId, Start, Update};
use tokio::time::Instant;

use super::app::{App, Effect};
use super::room::PageRequest;
use super::terminal::{self, Terminal};
use super::theme::Theme;
use super::{saved_rooms, view};
use crate::commands::stopped;
use crate::output::Failure;

/// Messages that a room begins with, and that a page of older ones has.
const FIRST: u32 = 200;
const PAGE: u32 = 300;

/// The shortest time between two drawings of what comes from elsewhere. What the user does is drawn at once.
const FRAME: Duration = Duration::from_millis(33);

/// Updates that are taken before the screen is drawn and keys are looked at.
const UPDATES: usize = 512;

/// Keys that are taken before the screen is drawn.
const INPUTS: usize = 64;

/// A call of the client that is not finished.
type Call = Pin<Box<dyn Future<Output = Outcome>>>;

/// What came of a call.
enum Outcome {
    Page { room: RoomId, request: PageRequest, page: Result<Page, String> },
    Rooms(Result<Vec<RoomId>, String>),
    Nothing,
}

pub(crate) struct Screen {
    app: App,
    theme: Theme,
    client: Client,
    /// `None` once the client has ended. What is on the screen can still be read.
    events: Option<Events>,
    saved_rooms: Option<PathBuf>,
    calls: FuturesUnordered<Call>,
    over: bool,
}

impl Screen {
    pub(crate) fn new(app: App, theme: Theme, client: Client, events: Events, saved_rooms: Option<PathBuf>) -> Self {
        let mut screen =
            Self { app, theme, client, events: Some(events), saved_rooms, calls: FuturesUnordered::new(), over: false };
        screen.save_rooms();
        screen
    }

    /// Runs until the user quits.
    pub(crate) async fn run(&mut self, terminal: &mut Terminal) -> Result<(), Failure> {
        let mut inputs = terminal::inputs()?;
        let mut stopped = pin!(stopped());
        let mut due = Due { drawn: Instant::now(), at: Some(Instant::now()) };
        loop {
            for effect in self.app.take_effects() {
                self.carry_out(effect, terminal)?;
            }
            if self.over {
                return Ok(());
            }
            if due.is_now() {
                self.draw(terminal)?;
                due = Due { drawn: Instant::now(), at: None };
            }
            // A key that is held down must keep neither the client nor its updates waiting.
            tokio::task::yield_now().await;
            tokio::select! {
                input = inputs.recv() => {
                    let Some(input) = input else { return Err(Failure::Failed("the terminal is gone".to_owned())) };
                    self.app.input(input?, Instant::now());
                    // Input that comes faster than it can be drawn is drawn together.
                    for _ in 0..INPUTS {
                        let Ok(input) = inputs.try_recv() else { break };
                        self.app.input(input?, Instant::now());
                    }
                    self.app.finish_turn();
                    due.now();
                }
                signal = &mut stopped => {
                    self.app.mark();
                    for effect in self.app.take_effects() {
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
                Some(outcome) = self.calls.next(), if !self.calls.is_empty() => {
                    self.finished(outcome);
                    due.soon();
                }
            }
        }
    }

    /// Returns the client, its updates, and how many messages are unsent.
    pub(crate) fn into_parts(self) -> (Client, Option<Events>, usize) {
        (self.client, self.events, self.app.unsent)
    }

    fn draw(&mut self, terminal: &mut Terminal) -> io::Result<()> {
        let size = terminal.size()?;
        // Before keys are read, a change of size is not reported.
        if size != self.app.size {
            self.app.resize(size);
            self.app.finish_turn();
        }
        terminal.draw(|frame| view::draw(frame, &self.app, self.theme))
    }

    /// Takes an update, and those that have come already.
    fn updates(&mut self, first: Option<Update>) {
        let now = Instant::now();
        if first.is_none() {
            self.events = None;
        }
        let more = std::iter::from_fn(|| self.events.as_mut().and_then(Events::try_next));
        for update in first.into_iter().chain(more).take(UPDATES) {
            self.app.update(update, now);
        }
        self.app.finish_turn();
    }

    fn finished(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Page { room, request, page } => self.app.page(&room, request, page),
            Outcome::Rooms(Ok(rooms)) => self.app.listed(rooms),
            Outcome::Rooms(Err(why)) => self.app.notify(true, format!("the rooms cannot be listed: {why}")),
            Outcome::Nothing => {}
        }
        self.app.finish_turn();
    }

    fn carry_out(&mut self, effect: Effect, terminal: &mut Terminal) -> io::Result<()> {
        let client = self.client.clone();
        match effect {
            Effect::Quit => self.over = true,
            Effect::Redraw => terminal.forget()?,
            Effect::SaveRooms => self.save_rooms(),
            Effect::Post(draft) => {
                if let Err(error) = client.try_enqueue(draft.clone()) {
                    self.app.not_sent(draft, &error.to_string());
                }
            }
            Effect::Join(room) => self.call(async move {
                // A refusal comes as an update, too.
                let _ = client.join(room, Start::Last(FIRST)).await;
                Outcome::Nothing
            }),
            Effect::Leave(room) => self.call(async move {
                client.leave(room).await;
                Outcome::Nothing
            }),
            // At once: it may be the last thing that is done.
            Effect::MarkRead { room, seq } => self.call_at_once(async move {
                client.mark_read(room, seq).await;
                Outcome::Nothing
            }),
            // At once: the message goes at once, and this goes before it.
            Effect::Typing(room) => self.call_at_once(async move {
                client.typing(room).await;
                Outcome::Nothing
            }),
            Effect::Page { room, request } => self.call(async move {
                let place = match request {
                    PageRequest::Older(seq) => PageAt::Before(seq),
                    PageRequest::Newer(seq) => PageAt::After(seq),
                };
                let page = client.history(room.clone(), place, PAGE).await.map_err(|why| why.to_string());
                Outcome::Page { room, request, page }
            }),
            Effect::ListRooms => self.call(async move {
                let rooms = client.rooms().await.map_err(|why| why.to_string());
                Outcome::Rooms(rooms.map(|rooms| rooms.into_iter().map(|room| room.id).collect()))
            }),
        }
        Ok(())
    }

    fn call(&mut self, call: impl Future<Output = Outcome> + 'static) {
        self.calls.push(Box::pin(call));
    }

    /// Finishes a call now, unless the client is very busy.
    fn call_at_once(&mut self, call: impl Future<Output = Outcome> + 'static) {
        let mut call = Box::pin(call);
        if call.as_mut().now_or_never().is_none() {
            self.calls.push(call);
        }
    }

    fn save_rooms(&mut self) {
        let Some(path) = &self.saved_rooms else { return };
        let rooms: Vec<&RoomId> = self.app.rooms.iter().map(|room| &room.id).collect();
        if let Err(error) = saved_rooms::write(path, &rooms) {
            let path = path.display();
            self.app.notify(true, format!("the list of your rooms cannot be saved in {path}: {error}"));
        }
    }
}

/// When to draw the screen next.
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

    /// For what comes from elsewhere: at once, unless the screen was just drawn.
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
