//! The engine by itself: against a service that forgets, refuses and is cut off at random, and at exact instants.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use stubs::chat::v1::{client_frame, event, join};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;
use crate::mailbox::{self, Events, Mailbox, MailboxLimits};
use crate::model::{Body, Change, Cursor, Verdict};

const SETTINGS: Settings = Settings {
    backoff: Backoff { base: Duration::from_millis(250), max: Duration::from_secs(6) },
    can_refresh: false,
    keeps: true,
};

type Outcome = Result<crate::model::Ack, SendError>;

type Outcomes = Vec<oneshot::Receiver<Outcome>>;

fn room(room: &str) -> RoomId {
    room.parse().unwrap()
}

fn new() -> (Engine, Instant) {
    (Engine::new(SETTINGS, SavedState::default(), 1), Instant::now())
}

fn welcome() -> pb::Welcome {
    let limits = pb::Limits { max_text_bytes: 100, max_rooms: 3, max_in_flight: 4, max_frame_bytes: 1_000 };
    let heartbeat = Some(prost_types::Duration { seconds: 10, nanos: 0 });
    pb::Welcome { user: "sam".to_owned(), limits: Some(limits), heartbeat, ..pb::Welcome::default() }
}

fn online() -> (Engine, Instant) {
    let (mut engine, now) = new();
    engine.opened(&welcome(), now);
    engine.actions.clear();
    (engine, now)
}

fn reply(reply_to: u64, body: server_frame::Body) -> pb::ServerFrame {
    pb::ServerFrame { reply_to, body: Some(body) }
}

fn error(reply_to: u64, status: &Status) -> pb::ServerFrame {
    let details = tonic_types::pb::Status::decode(status.details()).unwrap().details;
    let status = tonic_types::pb::Status { code: status.code().into(), message: status.message().to_owned(), details };
    reply(reply_to, server_frame::Body::Error(pb::Error { status: Some(status) }))
}

fn ack(reply_to: u64, room: &str, seq: u64, id: Bytes) -> pb::ServerFrame {
    let ack = pb::Ack { room: room.to_owned(), seq, client_msg_id: id, ..pb::Ack::default() };
    reply(reply_to, server_frame::Body::Ack(ack))
}

fn post(engine: &mut Engine, room: &str, text: &str) -> oneshot::Receiver<Outcome> {
    let (reply, outcome) = oneshot::channel();
    let draft = Draft::new(self::room(room), Change::post(text));
    engine.command(Command::Post(Posted { draft, reply: Some(reply), _place: None }));
    outcome
}

fn ask_to_join(engine: &mut Engine, room: &str, start: Start) -> oneshot::Receiver<Result<Joined, JoinError>> {
    let (reply, joined) = oneshot::channel();
    engine.command(Command::Join { room: self::room(room), start, reply });
    joined
}

fn said(engine: &mut Engine) -> Vec<(u64, client_frame::Body)> {
    let frames = std::iter::from_fn(|| engine.next_frame());
    frames.map(|frame| (frame.id, frame.body.unwrap())).collect()
}

/// What the application was told about connections.
fn connections(engine: &mut Engine) -> Vec<ConnectionState> {
    let told = |action| match action {
        Action::Tell(Update::Connection(connection)) => Some(connection),
        _ => None,
    };
    engine.actions.drain(..).filter_map(told).collect()
}

/// A service with one life of history, and the two directions of a connection to it.
#[derive(Default)]
struct Service {
    rooms: HashMap<String, Vec<pb::Event>>,
    seats: HashMap<String, u64>,
    to_service: VecDeque<pb::ClientFrame>,
    to_client: VecDeque<pb::ServerFrame>,
    stored_twice: usize,
}

const EPOCH: u64 = 7;

impl Service {
    fn store(&mut self, room: &str, sender: &str, id: Bytes, text: String) -> u64 {
        let events = self.rooms.entry(room.to_owned()).or_default();
        if let Some(first) = events.iter().find(|event| event.client_msg_id == id) {
            self.stored_twice += 1;
            return first.seq;
        }
        let prev_seq = events.last().map_or(0, |last| last.seq);
        // Seqs rise; nobody promises that they rise by one.
        let seq = prev_seq + 1 + prev_seq % 3;
        let body = Some(event::Body::Posted(pb::Posted { text, ..pb::Posted::default() }));
        let room = room.to_owned();
        let event =
            pb::Event { room, seq, prev_seq, sender: sender.to_owned(), client_msg_id: id, body, ..Default::default() };
        events.push(event);
        self.deliver();
        seq
    }

    /// Puts on the stream what the readers have not got yet.
    fn deliver(&mut self) {
        for (room, cursor) in &mut self.seats {
            for event in self.rooms.get(room).into_iter().flatten().filter(|event| event.seq > *cursor) {
                self.to_client.push_back(reply(0, server_frame::Body::Event(event.clone())));
            }
            *cursor = self.rooms.get(room).and_then(|events| events.last()).map_or(*cursor, |last| last.seq);
        }
    }

    fn hear(&mut self, refuses: bool) {
        let Some(pb::ClientFrame { id, body }) = self.to_service.pop_front() else { return };
        let answer = match body.unwrap() {
            client_frame::Body::Send(_) | client_frame::Body::Join(_) if refuses => {
                let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(500)));
                error(id, &Status::with_error_details(Code::Unavailable, "not now", details))
            }
            client_frame::Body::Send(pb::Send { room, text, client_msg_id, .. }) => {
                let seq = self.store(&room, "sam", client_msg_id.clone(), text);
                ack(id, &room, seq, client_msg_id)
            }
            client_frame::Body::Join(pb::Join { room, start }) => {
                let events = self.rooms.entry(room.clone()).or_default();
                let head = events.last().map_or(0, |last| last.seq);
                let (verdict, start) = match start {
                    None => (pb::Verdict::Live, head),
                    Some(join::Start::Last(_)) => (pb::Verdict::Live, 0),
                    Some(join::Start::After(pb::Cursor { epoch, seq })) => {
                        assert!(epoch == EPOCH || seq == 0, "a cursor is of the life that it was given in");
                        assert!(seq <= head);
                        (pb::Verdict::Recovered, seq)
                    }
                };
                self.seats.insert(room.clone(), start);
                let joined = pb::Joined {
                    room: room.clone(),
                    verdict: verdict.into(),
                    epoch: EPOCH,
                    start_seq: start,
                    head_seq: head,
                    ..pb::Joined::default()
                };
                self.to_client.push_back(reply(id, server_frame::Body::Joined(joined)));
                self.deliver();
                reply(0, server_frame::Body::CaughtUp(pb::CaughtUp { room, seq: head }))
            }
            client_frame::Body::Leave(pb::Leave { room }) => {
                self.seats.remove(&room);
                reply(id, server_frame::Body::Done(pb::Done {}))
            }
            client_frame::Body::Ping(_) => reply(id, server_frame::Body::Pong(pb::Pong {})),
            client_frame::Body::MarkRead(_) => reply(id, server_frame::Body::Done(pb::Done {})),
            _ => return,
        };
        self.to_client.push_back(answer);
    }

    fn cut(&mut self) {
        self.seats.clear();
        self.to_service.clear();
        self.to_client.clear();
    }
}

/// One engine, one service, and an application that takes what it is told when it likes, and notes it.
struct World {
    engine: Engine,
    mailbox: Arc<Mailbox>,
    events: Events,
    service: Service,
    rooms: Vec<String>,
    now: Instant,
    random: fastrand::Rng,
    outcomes: Outcomes,
    joining: Vec<oneshot::Receiver<Result<Joined, JoinError>>>,
    saved: HashSet<MsgId>,
    told: HashMap<String, Vec<u64>>,
    connected: usize,
    drafts: usize,
    pauses: usize,
}

impl World {
    fn new(seed: u64, rooms: Vec<String>, waiting: usize) -> Self {
        let (engine, now) = new();
        let (mailbox, events) = mailbox::open(MailboxLimits { updates: waiting, bytes: usize::MAX }, true);
        Self {
            engine,
            mailbox,
            events,
            service: Service::default(),
            rooms,
            now,
            random: fastrand::Rng::with_seed(seed),
            outcomes: Vec::new(),
            joining: Vec::new(),
            saved: HashSet::new(),
            told: HashMap::new(),
            connected: 0,
            drafts: 0,
            pauses: 0,
        }
    }

    fn room(&mut self) -> String {
        self.rooms[self.random.usize(..self.rooms.len())].clone()
    }

    fn join(&mut self, room: &str) {
        let joined = ask_to_join(&mut self.engine, room, Start::Resume { or_last: 1_000 });
        self.joining.push(joined);
    }

    fn step(&mut self) {
        match self.random.u8(..100) {
            0..10 => {
                let room = self.room();
                self.drafts += 1;
                let outcome = post(&mut self.engine, &room, &format!("{}", self.drafts));
                self.outcomes.push(outcome);
            }
            10..14 => {
                let (room, n) = (self.room(), self.random.u128(..));
                self.service.store(&room, "ann", n.to_be_bytes().to_vec().into(), "Hey".to_owned());
            }
            14 => {
                let room = self.room();
                if self.random.bool() {
                    self.engine.command(Command::Leave { room: self::room(&room) });
                }
                self.join(&room);
            }
            15 => {
                let (room, seq) = (self.room(), self.random.u64(1..100));
                self.engine.command(Command::MarkRead { room: self::room(&room), seq });
            }
            16..24 => self.take(),
            24..45 => {
                if let Some(frame) = self.engine.next_frame() {
                    self.service.to_service.push_back(frame);
                }
            }
            45..65 => {
                let refuses = self.random.u8(..) < 12;
                self.service.hear(refuses);
            }
            65..90 => self.hear(),
            90..93 => self.cut(),
            93 => {
                let draining = pb::Draining {
                    reconnect_after: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
                    ..pb::Draining::default()
                };
                self.service.to_client.push_back(reply(0, server_frame::Body::Draining(draining)));
            }
            _ => {
                self.now += Duration::from_millis(self.random.u64(..3_000));
                self.engine.tick(self.now);
            }
        }
        self.act();
    }

    fn hear(&mut self) {
        if let Some(frame) = self.service.to_client.pop_front() {
            self.engine.heard(frame, self.now);
        }
    }

    fn cut(&mut self) {
        if matches!(self.engine.phase, Phase::Online(_)) {
            self.service.cut();
            self.engine.ended(&Status::unavailable("cut"), self.now);
        }
    }

    /// The application takes one update.
    fn take(&mut self) {
        match self.events.try_next() {
            Some(Update::Event(event)) => self.told.entry(event.room.to_string()).or_default().push(event.seq),
            Some(Update::Joined(joined)) => {
                let last = self.told.get(joined.room.as_str()).and_then(|seqs| seqs.last()).copied();
                assert!(joined.verdict == Verdict::Live || last.is_none_or(|last| last == joined.start));
            }
            Some(Update::Refused { .. }) => panic!("somebody waits for every draft"),
            _ => {}
        }
        if !self.mailbox.is_overfull() {
            self.engine.resume();
        }
    }

    fn act(&mut self) {
        for action in std::mem::take(&mut self.engine.actions) {
            match action {
                Action::Connect => {
                    self.connected += 1;
                    self.service.cut();
                    if self.random.u8(..) < 50 {
                        self.engine.ended(&Status::unavailable("nobody is there"), self.now);
                    } else {
                        self.engine.opened(&welcome(), self.now);
                    }
                }
                Action::Disconnect => self.service.cut(),
                Action::Save(draft) => assert!(self.saved.insert(draft.id)),
                Action::Forget(id) => assert!(self.saved.remove(&id)),
                Action::Tell(update) => {
                    if self.mailbox.put(update) {
                        self.pauses += usize::from(!self.engine.paused);
                        self.engine.pause();
                    }
                }
                Action::Own(_) => {}
                Action::GetToken | Action::Over => panic!("nobody asked for it"),
            }
        }
        if !self.engine.actions.is_empty() {
            self.act();
        }
    }

    /// Nothing disturbs any more: goes on until nothing is left to do.
    fn settle(&mut self) {
        // A session that was told that the service leaves is ended by it.
        self.cut();
        for _ in 0..100_000 {
            self.now += Duration::from_millis(100);
            self.engine.tick(self.now);
            self.act();
            for _ in 0..100 {
                self.take();
            }
            while let Some(frame) = self.engine.next_frame() {
                self.service.to_service.push_back(frame);
            }
            while !self.service.to_service.is_empty() || !self.service.to_client.is_empty() {
                self.service.hear(false);
                self.hear();
                self.act();
            }
            let taken = self.mailbox.is_empty();
            if self.engine.outbox.is_empty() && self.engine.rooms.are_all_here() && !self.engine.has_frame() && taken {
                return;
            }
        }
        panic!("it does not come to rest");
    }
}

#[test]
fn whatever_happens_every_draft_is_stored_once_and_every_event_is_told_once_in_order() {
    let (mut connected, mut repeats, mut stored, mut pauses) = (0, 0, 0, 0);
    for seed in 0..500 {
        let mut world = World::new(seed, ["north", "south"].map(str::to_owned).to_vec(), 16);
        world.join("north");
        world.join("south");
        world.act();
        for _ in 0..600 {
            world.step();
        }
        world.settle();

        let joined = world.joining.iter_mut().map(|joined| joined.try_recv().expect("it is answered"));
        assert!(joined.filter(Result::is_ok).count() > 0);
        let mut acked = HashSet::new();
        for outcome in &mut world.outcomes {
            assert!(acked.insert(outcome.try_recv().unwrap().unwrap().id), "seed {seed}");
        }
        let ours: Vec<&pb::Event> =
            world.service.rooms.values().flatten().filter(|event| event.sender == "sam").collect();
        assert_eq!(ours.len(), world.drafts, "seed {seed}");
        for (room, events) in &world.service.rooms {
            let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
            assert_eq!(world.told.get(room).cloned().unwrap_or_default(), seqs, "seed {seed}");
        }
        assert_eq!(world.saved, HashSet::new(), "what is acked is not kept, seed {seed}");
        (connected, repeats, stored, pauses) = (
            connected + world.connected,
            repeats + world.service.stored_twice,
            stored + ours.len(),
            pauses + world.pauses,
        );
    }
    // Or little was tried.
    let tried = connected > 5_000 && repeats > 1_000 && stored > 20_000 && pauses > 500;
    assert!(tried, "{connected} {repeats} {stored} {pauses}");
}

#[test]
fn a_slow_application_in_many_rooms_gets_everything() {
    let rooms: Vec<String> = (0..100).map(|n| format!("room/{n:02}")).collect();
    let mut world = World::new(1, rooms.clone(), MailboxLimits { updates: 1, bytes: 1 }.clamped().updates);
    for room in &rooms {
        world.join(room);
    }
    world.act();
    const EVENTS: usize = 6_000;
    for turn in 0.. {
        assert!(turn < 100_000, "{:?}", world.told);
        if turn < EVENTS {
            let id = (turn as u128).to_be_bytes().to_vec().into();
            world.service.store(&rooms[turn % rooms.len()], "ann", id, "Hey".to_owned());
        }
        // Much is heard before the application takes one.
        for _ in 0..10 {
            if let Some(frame) = world.engine.next_frame() {
                world.service.to_service.push_back(frame);
            }
            world.service.hear(false);
            world.hear();
            world.act();
        }
        if turn % 3 == 0 {
            world.take();
            world.act();
        }
        if world.told.values().map(Vec::len).sum::<usize>() == EVENTS {
            break;
        }
    }
    assert!(world.pauses > 5, "{}", world.pauses);
    for room in &rooms {
        let seqs: Vec<u64> = world.service.rooms[room].iter().map(|event| event.seq).collect();
        assert_eq!(world.told[room], seqs, "{room}");
    }
}

#[test]
fn a_room_that_a_slow_application_waits_for_is_joined_at_once_and_gone_on_with_later() {
    let (mut engine, now) = online();
    engine.pause();
    let mut joined = ask_to_join(&mut engine, "north", Start::Last(10));
    let [id] = ids(&mut engine);
    engine.heard(answer_to_join(id, EPOCH, 5, pb::Verdict::Live), now);
    assert_eq!(joined.try_recv().unwrap().unwrap().start, 5);
    assert!(matches!(said(&mut engine)[..], [(_, client_frame::Body::Leave(_))]));
    let event = pb::Event { room: "north".to_owned(), seq: 6, prev_seq: 5, ..pb::Event::default() };
    engine.actions.clear();
    engine.heard(reply(0, server_frame::Body::Event(event)), now);
    assert!(engine.actions.is_empty(), "it comes again");
    engine.resume();
    let after = join::Start::After(pb::Cursor { epoch: EPOCH, seq: 5 });
    let frames = said(&mut engine);
    assert!(matches!(&frames[..], [(_, client_frame::Body::Join(join))] if join.start == Some(after)), "{frames:?}");

    // One that is asked for already is waited for.
    let (mut engine, now) = online();
    let mut joined = ask_to_join(&mut engine, "north", Start::Live);
    let [id] = ids(&mut engine);
    engine.pause();
    assert!(said(&mut engine).is_empty());
    engine.heard(answer_to_join(id, EPOCH, 5, pb::Verdict::Live), now);
    joined.try_recv().unwrap().unwrap();
    assert!(matches!(said(&mut engine)[..], [(_, client_frame::Body::Leave(_))]));
}

#[test]
fn rooms_are_joined_again_a_few_at_a_time() {
    let (mut engine, now) = online();
    let joining: Vec<_> = (0..100).map(|n| ask_to_join(&mut engine, &format!("r{n:02}"), Start::Live)).collect();
    let in_flight = |engine: &mut Engine| {
        let mut frames = Vec::new();
        loop {
            let more = said(engine);
            if more.is_empty() {
                return frames;
            }
            for (id, body) in &more {
                let client_frame::Body::Join(join) = body else { panic!("{body:?}") };
                let joined = pb::Joined { room: join.room.clone(), epoch: EPOCH, ..pb::Joined::default() };
                engine.heard(reply(*id, server_frame::Body::Joined(joined)), now);
            }
            frames.extend(more);
        }
    };
    assert_eq!(in_flight(&mut engine).len(), 100, "somebody waits for each");
    drop(joining);
    engine.ended(&Status::unavailable("cut"), now);
    engine.opened(&welcome(), now);
    let first = in_flight(&mut engine);
    assert_eq!(first.len(), 32);
    let client_frame::Body::Join(pb::Join { room, .. }) = &first[0].1 else { panic!() };
    engine.heard(reply(0, server_frame::Body::CaughtUp(pb::CaughtUp { room: room.clone(), seq: 0 })), now);
    assert_eq!(in_flight(&mut engine).len(), 1);
}

#[test]
fn no_more_is_in_flight_than_the_service_takes() {
    let (mut engine, now) = online();
    let _outcomes: Outcomes = (0..10).map(|n| post(&mut engine, "north", &n.to_string())).collect();
    let first = said(&mut engine);
    assert_eq!(first.len(), 4);
    let client_frame::Body::Send(send) = &first[0].1 else { panic!("{first:?}") };
    engine.heard(ack(first[0].0, "north", 1, send.client_msg_id.clone()), now);
    assert_eq!(said(&mut engine).len(), 1);
    assert!(!engine.has_frame());
}

#[test]
fn a_service_that_is_silent_is_asked_and_then_left() {
    let (mut engine, now) = online();
    let after = |seconds: f64| now + Duration::from_secs_f64(seconds);
    assert_eq!(engine.deadline(), Some(after(15.0)));
    engine.tick(after(14.9));
    assert!(said(&mut engine).is_empty());
    engine.tick(after(15.0));
    assert_eq!(said(&mut engine), [(0, client_frame::Body::Ping(pb::Ping {}))]);
    engine.heard(reply(0, server_frame::Body::Pong(pb::Pong {})), after(16.0));
    assert_eq!(engine.deadline(), Some(after(31.0)));

    // With a question open it is asked sooner.
    let _outcome = post(&mut engine, "north", "Hi");
    said(&mut engine);
    assert_eq!(engine.deadline(), Some(after(21.0)));
    engine.tick(after(21.0));
    assert_eq!(said(&mut engine), [(0, client_frame::Body::Ping(pb::Ping {}))]);
    engine.tick(after(30.9));
    assert!(!engine.actions.contains(&Action::Disconnect));
    engine.tick(after(31.0));
    assert!(engine.actions.contains(&Action::Disconnect));
    assert!(matches!(connections(&mut engine)[..], [ConnectionState::Reconnecting { .. }]));
}

#[test]
fn pings_are_answered_before_anything_else() {
    let (mut engine, now) = online();
    let _outcomes: Outcomes = (0..10).map(|n| post(&mut engine, "north", &n.to_string())).collect();
    said(&mut engine);
    engine.heard(reply(0, server_frame::Body::Ping(pb::Ping {})), now);
    assert_eq!(said(&mut engine), [(0, client_frame::Body::Pong(pb::Pong {}))]);
}

#[test]
fn delays_grow_until_a_session_goes_well() {
    let (mut engine, mut now) = new();
    let mut longest = Duration::ZERO;
    for attempt in 0..12 {
        engine.ended(&Status::unavailable("down"), now);
        let delay = engine.deadline().unwrap() - now;
        assert!(delay <= SETTINGS.backoff.ceiling(attempt), "{delay:?} before attempt {attempt}");
        longest = longest.max(delay);
        now += delay;
        engine.tick(now);
        assert_eq!(engine.actions.pop(), Some(Action::Connect));
        // A session that ends at once is no success.
        engine.opened(&welcome(), now);
    }
    assert!(longest > Duration::from_secs(1), "{longest:?}");
    engine.ended(&Status::unavailable("down"), now + Duration::from_secs(10));
    assert!(engine.deadline().unwrap() <= now + Duration::from_secs(10) + SETTINGS.backoff.base);
}

#[test]
fn the_services_own_time_is_kept() {
    let (mut engine, now) = online();
    let reconnect_after = Some(prost_types::Duration { seconds: 3, nanos: 0 });
    let draining = pb::Draining { reconnect_after, ..pb::Draining::default() };
    engine.heard(reply(0, server_frame::Body::Draining(draining)), now);
    let _outcome = post(&mut engine, "north", "Hi");
    assert!(said(&mut engine).is_empty(), "a service that leaves takes nothing new");
    engine.ended(&Status::unavailable("left"), now + Duration::from_secs(1));
    assert_eq!(engine.deadline(), Some(now + Duration::from_secs(3)));

    let (mut engine, now) = online();
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(9)));
    engine.ended(&Status::with_error_details(Code::ResourceExhausted, "full", details), now);
    let told = now + Duration::from_secs(9);
    let deadline = engine.deadline().unwrap();
    assert!(deadline >= told && deadline <= told + SETTINGS.backoff.base);
}

#[test]
fn a_refused_token_is_refreshed_once() {
    let settings = Settings { can_refresh: true, ..SETTINGS };
    let mut engine = Engine::new(settings, SavedState::default(), 1);
    let now = Instant::now();
    let refused = Status::unauthenticated("expired");
    engine.actions.clear();
    engine.ended(&refused, now);
    assert!(engine.actions.contains(&Action::Connect));
    engine.opened(&welcome(), now);
    engine.actions.clear();
    let later = now + Duration::from_secs(60);
    engine.ended(&refused, later);
    assert!(engine.actions.contains(&Action::Connect), "an accepted one may expire");
    engine.actions.clear();
    engine.ended(&refused, later);
    assert!(engine.actions.contains(&Action::Over), "a new one that is refused is not asked for again");

    let (mut engine, now) = new();
    engine.ended(&refused, now);
    assert!(engine.actions.contains(&Action::Over), "there is no other token");
}

#[test]
fn a_no_that_time_does_not_change_is_final_and_everyone_who_waits_is_told() {
    let (mut engine, now) = online();
    let mut outcome = post(&mut engine, "north", "Hi");
    let mut joined = ask_to_join(&mut engine, "north", Start::Live);
    let id = engine.actions.iter().find_map(|action| match action {
        Action::Save(draft) => Some(draft.id),
        _ => None,
    });
    engine.actions.clear();
    engine.ended(&Status::permission_denied("you may not"), now);
    let why = Refused::new(Code::PermissionDenied, "you may not".to_owned());
    assert_eq!(outcome.try_recv().unwrap(), Err(SendError::Failed(why.clone())));
    assert_eq!(joined.try_recv().unwrap(), Err(JoinError::Failed(why.clone())));
    assert!(!engine.actions.contains(&Action::Forget(id.unwrap())), "it is kept for the next run");
    assert_eq!(connections(&mut engine), [ConnectionState::Failed(why)]);
    engine.ended(&Status::unavailable("late"), now);
    assert!(engine.actions.is_empty() && engine.deadline().is_none());
}

#[test]
fn a_draft_that_is_refused_for_good_is_told_to_whoever_waits_or_to_the_application() {
    let (mut engine, now) = online();
    let mut waiting = post(&mut engine, "north", "a");
    drop(post(&mut engine, "north", "b"));
    let frames = said(&mut engine);
    engine.actions.clear();
    let refused = Status::invalid_argument("text is longer");
    for (id, _) in &frames {
        engine.heard(error(*id, &refused), now);
    }
    let why = Refused::from(&refused);
    assert_eq!(waiting.try_recv().unwrap(), Err(SendError::Refused(why.clone())));
    let told: Vec<_> =
        engine.actions.iter().filter(|action| matches!(action, Action::Tell(Update::Refused { .. }))).collect();
    assert!(matches!(told[..], [Action::Tell(Update::Refused { draft, why: told })]
        if draft.change == Change::post("b") && *told == why));
    assert!(said(&mut engine).is_empty(), "it is not sent again");
}

#[test]
fn an_answer_to_an_earlier_join_is_not_taken_for_the_later_ones() {
    let (mut engine, now) = online();
    let _first = ask_to_join(&mut engine, "north", Start::Live);
    let [(early, _)] = said(&mut engine)[..] else { panic!("one frame") };
    engine.command(Command::Leave { room: room("north") });
    let _second = ask_to_join(&mut engine, "north", Start::Live);
    let frames = said(&mut engine);
    let [(_, client_frame::Body::Leave(_)), (late, client_frame::Body::Join(_))] = frames[..] else {
        panic!("{frames:?}")
    };
    engine.actions.clear();
    engine.heard(error(early, &Status::failed_precondition("overtaken")), now);
    assert!(engine.actions.is_empty(), "{:?}", engine.actions);
    let joined = pb::Joined { room: "north".to_owned(), epoch: EPOCH, ..pb::Joined::default() };
    engine.heard(reply(late, server_frame::Body::Joined(joined)), now);
    assert!(matches!(engine.actions[0], Action::Tell(Update::Joined(_))));
}

#[test]
fn a_gap_is_not_passed_on() {
    let (mut engine, now) = online();
    let _joined = ask_to_join(&mut engine, "north", Start::Live);
    let [(id, _)] = said(&mut engine)[..] else { panic!("one frame") };
    let joined = pb::Joined { room: "north".to_owned(), epoch: EPOCH, start_seq: 3, ..pb::Joined::default() };
    engine.heard(reply(id, server_frame::Body::Joined(joined)), now);
    engine.actions.clear();
    let event = |seq, prev_seq| pb::Event { room: "north".to_owned(), seq, prev_seq, ..pb::Event::default() };
    engine.heard(reply(0, server_frame::Body::Event(event(4, 3))), now);
    engine.heard(reply(0, server_frame::Body::Event(event(4, 3))), now);
    engine.heard(reply(0, server_frame::Body::Event(event(6, 5))), now);
    let told: Vec<u64> = engine
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Tell(Update::Event(event)) => Some((event.seq, event.body == Body::Unknown)),
            _ => None,
        })
        .map(|(seq, _)| seq)
        .collect();
    assert_eq!(told, [4]);
    assert!(engine.actions.contains(&Action::Disconnect), "it comes back for what is missing");
    let later = engine.deadline().unwrap();
    engine.tick(later);
    engine.opened(&welcome(), later);
    let frames = said(&mut engine);
    let after = join::Start::After(pb::Cursor { epoch: EPOCH, seq: 4 });
    assert!(matches!(&frames[..], [(_, client_frame::Body::Join(join))] if join.start == Some(after)), "{frames:?}");
}

#[test]
fn what_an_earlier_run_left_is_gone_on_with() {
    let draft = Draft::new(room("north"), Change::post("unsent"));
    let cursor = Cursor { epoch: EPOCH, seq: 5 };
    let kept = |owner: &str| SavedState {
        owner: Some(owner.to_owned()),
        confirmed: false,
        drafts: vec![draft.clone()],
        cursors: HashMap::from([(room("north"), cursor)]),
    };
    let now = Instant::now();
    let mut engine = Engine::new(SETTINGS, kept("sam"), 1);
    let _joined = ask_to_join(&mut engine, "north", Start::Resume { or_last: 10 });
    let _other = ask_to_join(&mut engine, "south", Start::Resume { or_last: 10 });
    let tells = Action::Tell(Update::Restored(draft.clone()));
    assert!(!engine.actions.contains(&tells), "whose it is is not known yet");
    engine.opened(&welcome(), now);
    assert!(engine.actions.contains(&tells));
    let known = Engine::new(SETTINGS, SavedState { confirmed: true, ..kept("sam") }, 1);
    assert!(known.actions.contains(&tells));
    let starts: Vec<_> = said(&mut engine)
        .into_iter()
        .map(|(_, body)| match body {
            client_frame::Body::Join(pb::Join { start, .. }) => start,
            body => {
                assert_eq!(convert::draft_from_wire(body), Some(draft.clone()));
                None
            }
        })
        .collect();
    let after = join::Start::After(pb::Cursor { epoch: EPOCH, seq: 5 });
    assert_eq!(starts, [Some(after), Some(join::Start::Last(10)), None]);

    let mut engine = Engine::new(SETTINGS, kept("ann"), 1);
    let _outcome = post(&mut engine, "north", "sam's own");
    let saved = engine.actions.iter().find_map(|action| match action {
        Action::Save(draft) => Some(draft.id),
        _ => None,
    });
    engine.opened(&welcome(), now);
    assert!(!engine.actions.contains(&tells));
    assert!(engine.actions.contains(&Action::Over), "one user's drafts are not sent by another");
    assert!(engine.actions.contains(&Action::Forget(saved.unwrap())), "nor are they left to the other");
    assert!(!engine.actions.contains(&Action::Forget(draft.id)));
    assert!(said(&mut engine).is_empty());
}

#[test]
fn a_read_mark_moves_forward_one_at_a_time() {
    let (mut engine, now) = online();
    for seq in [3, 5, 4] {
        engine.command(Command::MarkRead { room: room("north"), seq });
    }
    let marks = |engine: &mut Engine| -> Vec<(u64, u64)> {
        let mark = |(id, body)| match body {
            client_frame::Body::MarkRead(mark) => (id, mark.seq),
            body => panic!("{body:?}"),
        };
        said(engine).into_iter().map(mark).collect()
    };
    let [(first, 3)] = marks(&mut engine)[..] else { panic!("the first at once") };
    engine.heard(reply(first, server_frame::Body::Done(pb::Done {})), now);
    let [(_, 5)] = marks(&mut engine)[..] else { panic!("then the furthest") };
    engine.ended(&Status::unavailable("cut"), now);
    engine.opened(&welcome(), now);
    let [(last, 5)] = marks(&mut engine)[..] else { panic!("what was not answered is said again") };
    engine.heard(reply(last, server_frame::Body::Done(pb::Done {})), now);
    engine.command(Command::MarkRead { room: room("north"), seq: 2 });
    assert_eq!(marks(&mut engine), []);
}

#[test]
fn closing_waits_for_what_is_unsent_but_not_for_ever() {
    let (mut engine, now) = online();
    let mut outcome = post(&mut engine, "north", "Hi");
    let until = now + Duration::from_secs(5);
    engine.command(Command::Close { until });
    engine.settle(now);
    assert!(!engine.actions.contains(&Action::Over));
    assert_eq!(engine.deadline(), Some(until));
    let frames = said(&mut engine);
    let [(id, client_frame::Body::Send(send))] = &frames[..] else { panic!("{frames:?}") };
    engine.heard(ack(*id, "north", 1, send.client_msg_id.clone()), now);
    engine.settle(now);
    assert!(engine.actions.contains(&Action::Over));
    assert!(outcome.try_recv().unwrap().is_ok());

    let (mut engine, _) = online();
    let mut outcome = post(&mut engine, "north", "Hi");
    engine.command(Command::Close { until });
    engine.settle(until);
    assert!(engine.actions.contains(&Action::Over));
    assert_eq!(outcome.try_recv().unwrap(), Err(SendError::Closed));

    let (mut engine, now) = new();
    let _outcome = post(&mut engine, "north", "Hi");
    engine.command(Command::Close { until });
    engine.ended(&Status::unavailable("not yet"), now);
    engine.settle(now);
    assert!(!engine.actions.contains(&Action::Over), "there may be a session in time");
    engine.settle(until);
    assert!(engine.actions.contains(&Action::Over));

    let (mut engine, now) = new();
    engine.command(Command::Close { until });
    engine.settle(now);
    assert!(engine.actions.contains(&Action::Over), "nothing is unsent");
}

#[test]
fn a_service_that_says_it_leaves_and_stays_is_left() {
    let (mut engine, now) = online();
    engine.heard(reply(0, server_frame::Body::Draining(pb::Draining::default())), now);
    for second in 1..60 {
        let now = now + Duration::from_secs(second);
        engine.heard(reply(0, server_frame::Body::Ping(pb::Ping {})), now);
        engine.tick(now);
    }
    assert!(!engine.actions.contains(&Action::Disconnect));
    engine.tick(now + Duration::from_secs(60));
    assert!(engine.actions.contains(&Action::Disconnect));
}

#[test]
fn whoever_wants_another_token_learns_what_came_of_it() {
    let ask = |engine: &mut Engine| {
        let (reply, refreshed) = oneshot::channel();
        engine.command(Command::RefreshToken { reply });
        refreshed
    };
    let (mut engine, now) = online();
    let (mut first, mut second) = (ask(&mut engine), ask(&mut engine));
    assert_eq!(engine.actions, [Action::GetToken], "once for both");
    engine.token("new".to_owned());
    let [id] = ids(&mut engine);
    first.try_recv().unwrap_err();
    engine.heard(reply(id, server_frame::Body::Done(pb::Done {})), now);
    assert_eq!([first.try_recv(), second.try_recv()], [Ok(Ok(())), Ok(Ok(()))]);

    let mut refused = ask(&mut engine);
    engine.token("newer".to_owned());
    let [id] = ids(&mut engine);
    // Whoever asks now gets another one, and the answer to that.
    let mut later = ask(&mut engine);
    engine.heard(error(id, &Status::failed_precondition("no tokens")), now);
    assert_eq!(refused.try_recv().unwrap().unwrap_err().code, Code::FailedPrecondition);
    later.try_recv().unwrap_err();
    engine.token("x".repeat(1_000));
    assert!(said(&mut engine).is_empty());
    assert_eq!(later.try_recv().unwrap().unwrap_err().code, Code::InvalidArgument);

    let mut nothing = ask(&mut engine);
    engine.no_token(&Refused::new(Code::Unavailable, "nobody is there".to_owned()));
    assert_eq!(nothing.try_recv().unwrap().unwrap_err().code, Code::Unavailable);

    // The next session is opened with a new one anyway.
    let mut cut = ask(&mut engine);
    engine.token("newest".to_owned());
    engine.ended(&Status::unavailable("cut"), now);
    engine.opened(&welcome(), now);
    assert_eq!(cut.try_recv(), Ok(Ok(())));
}

#[test]
fn what_the_owner_of_the_file_has_not_said_is_not_left_to_them() {
    let kept = SavedState { owner: Some("ann".to_owned()), ..SavedState::default() };
    let mut engine = Engine::new(SETTINGS, kept, 1);
    engine.opened(&welcome(), Instant::now());
    engine.actions.clear();
    let mut late = post(&mut engine, "north", "sam's own");
    assert!(engine.actions.is_empty(), "{:?}", engine.actions);
    assert!(matches!(late.try_recv().unwrap(), Err(SendError::Failed(_))));
}

#[test]
fn a_room_whose_history_is_damaged_is_given_up_and_the_others_are_gone_on_with() {
    let damaged = |room: &str| {
        let details =
            ErrorDetails::with_error_info("HISTORY_DAMAGED", "chat.v1", [("room".to_owned(), room.to_owned())]);
        Status::with_error_details(Code::DataLoss, "the history is damaged", details)
    };
    let (mut engine, now) = online();
    let _joining = ["north", "south"].map(|room| ask_to_join(&mut engine, room, Start::Live));
    let mut outcome = post(&mut engine, "south", "Hi");
    let [id, _, _] = ids(&mut engine);
    engine.heard(answer_to_join(id, EPOCH, 5, pb::Verdict::Live), now);
    engine.actions.clear();
    engine.ended(&damaged("north"), now);
    let refused = |action: &Action| matches!(action, Action::Tell(Update::JoinRefused { room, .. }) if room == "north");
    assert!(engine.actions.iter().any(refused), "{:?}", engine.actions);
    engine.tick(engine.deadline().unwrap());
    engine.opened(&welcome(), now);
    let rooms: Vec<_> = said(&mut engine)
        .into_iter()
        .filter_map(|(_, body)| if let client_frame::Body::Join(join) = body { Some(join.room) } else { None })
        .collect();
    assert_eq!(rooms, ["south"]);
    outcome.try_recv().unwrap_err();

    // One that was left meanwhile is no news.
    engine.actions.clear();
    engine.ended(&damaged("east"), now);
    assert!(matches!(engine.actions[..], [Action::Tell(Update::Connection(ConnectionState::Reconnecting { .. }))]));
    let nameless = Status::data_loss("the history is damaged");
    engine.ended(&nameless, now);
    assert!(matches!(outcome.try_recv().unwrap(), Err(SendError::Failed(_))));
}

#[test]
fn a_place_is_resumed_within_a_run_also_when_the_room_was_refused_or_is_joined_again() {
    let (mut engine, now) = online();
    let _joined = ask_to_join(&mut engine, "north", Start::Last(10));
    let [id] = ids(&mut engine);
    engine.heard(answer_to_join(id, EPOCH, 5, pb::Verdict::Live), now);
    let after = Some(join::Start::After(pb::Cursor { epoch: EPOCH, seq: 5 }));
    let start = |engine: &mut Engine| match &said(engine)[..] {
        [(id, client_frame::Body::Join(join))] => (*id, join.start),
        frames => panic!("{frames:?}"),
    };
    let _again = ask_to_join(&mut engine, "north", Start::Resume { or_last: 10 });
    let (id, from) = start(&mut engine);
    assert_eq!(from, after);
    engine.heard(error(id, &Status::permission_denied("not now")), now);
    said(&mut engine);
    let _again = ask_to_join(&mut engine, "north", Start::Resume { or_last: 10 });
    assert_eq!(start(&mut engine).1, after);
}

#[test]
fn how_far_was_read_is_told_forwards_and_a_mark_that_is_refused_keeps_no_other_out() {
    let (mut engine, now) = online();
    let _joined = ask_to_join(&mut engine, "north", Start::Live);
    let [id] = ids(&mut engine);
    engine.heard(answer_to_join(id, EPOCH, 9, pb::Verdict::Live), now);
    let mark = |engine: &mut Engine, seq| engine.command(Command::MarkRead { room: room("north"), seq });
    mark(&mut engine, 3);
    let [id] = ids(&mut engine);
    engine.actions.clear();
    engine.heard(reply(0, server_frame::Body::ReadChanged(pb::ReadChanged { room: "north".to_owned(), seq: 5 })), now);
    engine.heard(reply(id, server_frame::Body::Done(pb::Done {})), now);
    assert_eq!(engine.actions, [Action::Tell(Update::Read { room: room("north"), seq: 5 })]);
    mark(&mut engine, u64::MAX);
    let [id] = ids(&mut engine);
    engine.heard(error(id, &Status::not_found("no such message")), now);
    mark(&mut engine, 7);
    assert!(matches!(&said(&mut engine)[..], [(_, client_frame::Body::MarkRead(mark))] if mark.seq == 7));
}

/// The ids of what was said, which has to be so many frames.
fn ids<const N: usize>(engine: &mut Engine) -> [u64; N] {
    let frames = said(engine);
    let ids: Vec<u64> = frames.iter().map(|(id, _)| *id).collect();
    ids.try_into().unwrap_or_else(|_| panic!("{frames:?}"))
}

fn answer_to_join(id: u64, epoch: u64, start_seq: u64, verdict: pb::Verdict) -> pb::ServerFrame {
    let verdict = verdict.into();
    let joined = pb::Joined { room: "north".to_owned(), epoch, start_seq, verdict, ..pb::Joined::default() };
    reply(id, server_frame::Body::Joined(joined))
}

#[test]
fn a_draft_that_no_frame_can_carry_is_refused_and_holds_up_nothing() {
    let (mut engine, _) = online();
    let mut long = post(&mut engine, "north", &"x".repeat(1_000));
    let _short = post(&mut engine, "north", "x");
    let [_] = ids(&mut engine);
    let Err(SendError::Refused(why)) = long.try_recv().unwrap() else { panic!("it cannot be sent") };
    assert_eq!(why.code, Code::InvalidArgument);
    engine.token("x".repeat(1_000));
    assert!(said(&mut engine).is_empty());
}

#[test]
fn no_time_is_too_long_for_a_clock() {
    let for_ever = || Some(prost_types::Duration { seconds: i64::MAX, nanos: 0 });
    let (mut engine, now) = online();
    let draining = pb::Draining { reconnect_after: for_ever(), ..pb::Draining::default() };
    engine.heard(reply(0, server_frame::Body::Draining(draining)), now);
    engine.ended(&Status::unavailable("left"), now);
    assert!(engine.deadline().is_some());

    let (mut engine, now) = new();
    engine.opened(&pb::Welcome { heartbeat: for_ever(), ..welcome() }, now);
    assert!(engine.deadline().is_some());
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(315_576_000_000)));
    engine.ended(&Status::with_error_details(Code::Unavailable, "later", details), now);
    assert!(engine.deadline().is_some());
}

#[test]
fn a_session_that_ends_at_once_is_not_opened_again_at_once() {
    let settings = Settings { can_refresh: true, ..SETTINGS };
    let mut engine = Engine::new(settings, SavedState::default(), 1);
    let now = Instant::now();
    let mut connects = 0;
    for _ in 0..10 {
        engine.actions.clear();
        engine.opened(&welcome(), now);
        engine.ended(&Status::unauthenticated("expired"), now);
        connects += usize::from(engine.actions.contains(&Action::Connect));
    }
    assert_eq!(connects, 1, "a token is refreshed once");

    let (mut engine, now) = new();
    let mut waited = Duration::ZERO;
    for _ in 0..10 {
        engine.opened(&welcome(), now + waited);
        let draining =
            pb::Draining { reconnect_after: Some(prost_types::Duration::default()), ..pb::Draining::default() };
        engine.heard(reply(0, server_frame::Body::Draining(draining)), now + waited);
        engine.ended(&Status::unavailable("left"), now + waited);
        waited = engine.deadline().unwrap() - now;
        engine.tick(now + waited);
    }
    assert!(waited > Duration::from_secs(1), "{waited:?}");
}

#[test]
fn a_mark_of_another_life_does_not_stand_in_the_way() {
    let (mut engine, now) = online();
    let _joined = ask_to_join(&mut engine, "north", Start::Live);
    let [id] = ids(&mut engine);
    engine.heard(answer_to_join(id, 1, 500, pb::Verdict::Live), now);
    engine.command(Command::MarkRead { room: room("north"), seq: 500 });
    let [id] = ids(&mut engine);
    engine.heard(reply(id, server_frame::Body::Done(pb::Done {})), now);
    engine.ended(&Status::unavailable("cut"), now);
    engine.opened(&welcome(), now);
    let [id] = ids(&mut engine);
    engine.heard(answer_to_join(id, 2, 3, pb::Verdict::Reset), now);
    engine.command(Command::MarkRead { room: room("north"), seq: 4 });
    let frames = said(&mut engine);
    assert!(matches!(&frames[..], [(_, client_frame::Body::MarkRead(mark))] if mark.seq == 4), "{frames:?}");
}

#[test]
fn whoever_leaves_a_room_resumes_where_it_was_left() {
    let (mut engine, now) = online();
    let _joined = ask_to_join(&mut engine, "north", Start::Last(10));
    let [id] = ids(&mut engine);
    engine.heard(answer_to_join(id, EPOCH, 5, pb::Verdict::Live), now);
    let event = pb::Event { room: "north".to_owned(), seq: 6, prev_seq: 5, ..pb::Event::default() };
    engine.heard(reply(0, server_frame::Body::Event(event)), now);
    engine.command(Command::Leave { room: room("north") });
    let [_] = ids(&mut engine);
    let _joined = ask_to_join(&mut engine, "north", Start::Resume { or_last: 10 });
    let frames = said(&mut engine);
    let after = join::Start::After(pb::Cursor { epoch: EPOCH, seq: 6 });
    assert!(matches!(&frames[..], [(_, client_frame::Body::Join(join))] if join.start == Some(after)), "{frames:?}");
}

#[test]
fn a_room_that_the_service_still_delivers_is_left_although_it_was_to_be_joined_again() {
    let (mut engine, now) = online();
    let _joined = ask_to_join(&mut engine, "north", Start::Live);
    let _outcome = post(&mut engine, "north", "x");
    let [join, send] = ids(&mut engine);
    engine.heard(answer_to_join(join, EPOCH, 0, pb::Verdict::Live), now);
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(2)));
    engine.heard(error(send, &Status::with_error_details(Code::Unavailable, "not now", details)), now);
    // It is put off, since the service takes nothing now.
    let _joined = ask_to_join(&mut engine, "north", Start::Last(10));
    assert!(said(&mut engine).is_empty());
    engine.command(Command::Leave { room: room("north") });
    assert!(matches!(said(&mut engine)[..], [(_, client_frame::Body::Leave(_))]));
}

#[test]
fn an_answer_that_is_none_ends_the_session_and_what_was_asked_is_asked_again() {
    let nothing = |id| pb::ServerFrame { reply_to: id, body: None };
    let done = |id| reply(id, server_frame::Body::Done(pb::Done {}));
    let another = |id| ack(id, "north", 1, Bytes::from_static(&[9; 16]));
    let unnamed = |id| ack(id, "north", 1, Bytes::new());
    let answers: [&dyn Fn(u64) -> pb::ServerFrame; 4] = [&nothing, &done, &another, &unnamed];
    for answer in answers {
        let (mut engine, now) = online();
        let mut outcome = post(&mut engine, "north", "x");
        let [id] = ids(&mut engine);
        engine.heard(answer(id), now);
        assert!(engine.actions.contains(&Action::Disconnect));
        let later = engine.deadline().unwrap();
        engine.tick(later);
        engine.opened(&welcome(), later);
        let [_] = ids(&mut engine);
        outcome.try_recv().unwrap_err();
    }
}
