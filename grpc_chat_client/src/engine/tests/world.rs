//! The engine in random worlds: a service that refuses, forgets, has rates and is cut off, and an application that is slow, leaves
//! rooms and joins them again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use stubs::chat::v1::{event, join as pb_join};

use super::*;
use crate::mailbox::{self, Events, Mailbox, MailboxLimits};
use crate::model::Verdict;

/// A service with one epoch of history, and the two directions of a connection to it.
#[derive(Default)]
struct Service {
    rooms: HashMap<String, Vec<pb::Event>>,
    /// The last event delivered in each joined room.
    cursors: HashMap<String, u64>,
    to_service: VecDeque<pb::ClientFrame>,
    to_client: VecDeque<pb::ServerFrame>,
    /// Drafts that came again after they were stored.
    duplicates: usize,
    /// How fast changes and Joins are accepted, if that is limited.
    rates: Option<[Rate; 2]>,
    /// Requests that were refused because of a rate.
    over: usize,
}

/// A rate of requests. After a refusal every request is refused until the time that the refusal named has passed.
struct Rate {
    every: Duration,
    burst: u32,
    left: u32,
    refilled: Time,
    refuses_until: Time,
}

impl Rate {
    fn new(every: Duration, burst: u32) -> Self {
        Self { every, burst, left: burst, refilled: Time::default(), refuses_until: Time::default() }
    }

    /// Accepts a request, or returns how long to wait.
    fn accept(&mut self, now: Time) -> Result<(), Duration> {
        while self.left < self.burst && now >= self.refilled + self.every {
            (self.left, self.refilled) = (self.left + 1, self.refilled + self.every);
        }
        if self.left == self.burst {
            self.refilled = now;
        }
        if self.left == 0 {
            self.refuses_until = self.refuses_until.max(self.refilled + self.every);
        }
        if now < self.refuses_until {
            return Err(self.refuses_until.since(now));
        }
        self.left -= 1;
        Ok(())
    }
}

impl Service {
    fn store(&mut self, room: &str, sender: &str, id: Bytes, text: String) -> u64 {
        let events = self.rooms.entry(room.to_owned()).or_default();
        if let Some(first) = events.iter().find(|event| event.client_msg_id == id) {
            self.duplicates += 1;
            return first.seq;
        }
        let prev_seq = events.last().map_or(0, |last| last.seq);
        // Seqs increase, but not by one.
        let seq = prev_seq + 1 + prev_seq % 3;
        let body = Some(event::Body::Posted(pb::Posted { text, ..pb::Posted::default() }));
        let room = room.to_owned();
        let event =
            pb::Event { room, seq, prev_seq, sender: sender.to_owned(), client_msg_id: id, body, ..Default::default() };
        events.push(event);
        self.deliver();
        seq
    }

    /// Puts the events that were not delivered yet on the stream.
    fn deliver(&mut self) {
        for (room, cursor) in &mut self.cursors {
            for event in self.rooms.get(room).into_iter().flatten().filter(|event| event.seq > *cursor) {
                self.to_client.push_back(frame(0, server_frame::Body::Event(event.clone())));
            }
            *cursor = self.rooms.get(room).and_then(|events| events.last()).map_or(*cursor, |last| last.seq);
        }
    }

    /// Handles one frame.
    fn handle(&mut self, refuses: bool, now: Time) {
        let Some(pb::ClientFrame { id, body }) = self.to_service.pop_front() else { return };
        let body = body.unwrap();
        if let (Some(rates), Some(kind)) = (&mut self.rates, kind(&body))
            && let Err(hint) = rates[kind].accept(now)
        {
            self.over += 1;
            let rate = ["changes", "joins"][kind];
            return self.to_client.push_back(error(id, &over(rate, hint)));
        }
        let reply = match body {
            client_frame::Body::Send(_) | client_frame::Body::Join(_) if refuses => {
                error(id, &retry_in(Duration::from_millis(500)))
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
                    Some(pb_join::Start::Last(_)) => (pb::Verdict::Live, 0),
                    Some(pb_join::Start::After(pb::Cursor { epoch, seq, client_msg_id })) => {
                        assert!(epoch == EPOCH || seq == 0, "a cursor is used in its own epoch");
                        let event = events.iter().find(|event| event.seq == seq);
                        assert_eq!(event.map_or(Bytes::new(), |event| event.client_msg_id.clone()), client_msg_id);
                        (pb::Verdict::Recovered, seq)
                    }
                };
                self.cursors.insert(room.clone(), start);
                let joined = pb::Joined {
                    room: room.clone(),
                    verdict: verdict.into(),
                    epoch: EPOCH,
                    start_seq: start,
                    head_seq: head,
                    ..pb::Joined::default()
                };
                self.to_client.push_back(frame(id, server_frame::Body::Joined(joined)));
                self.deliver();
                frame(0, server_frame::Body::CaughtUp(pb::CaughtUp { room, seq: head }))
            }
            client_frame::Body::Leave(pb::Leave { room }) => {
                self.cursors.remove(&room);
                done(id)
            }
            client_frame::Body::Ping(_) => frame(id, server_frame::Body::Pong(pb::Pong {})),
            client_frame::Body::MarkRead(_) => done(id),
            _ => return,
        };
        self.to_client.push_back(reply);
    }

    /// Handles all frames that have come.
    fn handle_all(&mut self, now: Time) {
        while !self.to_service.is_empty() {
            self.handle(false, now);
        }
    }

    fn cut(&mut self) {
        self.cursors.clear();
        self.to_service.clear();
        self.to_client.clear();
    }
}

/// Returns the index of the rate that a request counts against.
fn kind(body: &client_frame::Body) -> Option<usize> {
    match body {
        client_frame::Body::Send(_) | client_frame::Body::MarkRead(_) => Some(0),
        client_frame::Body::Join(_) => Some(1),
        _ => None,
    }
}

/// An engine, a service, and an application that takes updates now and then and records them.
struct World {
    engine: Engine,
    mailbox: Arc<Mailbox>,
    events: Events,
    service: Service,
    rooms: Vec<String>,
    now: Time,
    random: fastrand::Rng,
    acked: Vec<Acked>,
    joining: Vec<Receiver<Result<Joined, JoinError>>>,
    saved: HashSet<MsgId>,
    /// Until when the client knows that changes and Joins are refused.
    asked_to_wait: [Time; 2],
    /// Messages that were sent and have no reply, by the ids of their frames: in which room, and which one.
    in_flight: HashMap<u64, (String, u32)>,
    /// Messages that the client knows to be refused, and has not sent again.
    refused: HashSet<(String, u32)>,
    /// A message was refused, and what was sent before that still has no reply.
    unsettled: bool,
    /// Whether refusals are received before the hint has passed.
    quick: bool,
    /// The events that the application has taken, by room.
    received: HashMap<String, Vec<u64>>,
    connected: usize,
    drafts: usize,
    pauses: usize,
}

impl World {
    fn new(seed: u64, rooms: Vec<String>, max_updates: usize) -> Self {
        let (engine, now) = new();
        let (mailbox, events) = mailbox::open(MailboxLimits { updates: max_updates, bytes: usize::MAX }, true);
        Self {
            engine,
            mailbox,
            events,
            service: Service::default(),
            rooms,
            now,
            random: fastrand::Rng::with_seed(seed),
            acked: Vec::new(),
            joining: Vec::new(),
            saved: HashSet::new(),
            asked_to_wait: [Time::default(); 2],
            in_flight: HashMap::new(),
            refused: HashSet::new(),
            unsettled: false,
            quick: false,
            received: HashMap::new(),
            connected: 0,
            drafts: 0,
            pauses: 0,
        }
    }

    fn room(&mut self) -> String {
        self.rooms[self.random.usize(..self.rooms.len())].clone()
    }

    fn join(&mut self, room: &str) {
        let joined = join(&mut self.engine, room, Start::Resume { or_last: 1_000 });
        self.joining.push(joined);
    }

    fn step(&mut self) {
        match self.random.u8(..100) {
            0..10 => {
                let room = self.room();
                self.drafts += 1;
                let acked = post(&mut self.engine, &room, &format!("{}", self.drafts));
                self.acked.push(acked);
            }
            10..14 => {
                let (room, n) = (self.room(), self.random.u128(..));
                self.service.store(&room, "ann", n.to_be_bytes().to_vec().into(), "Hey".to_owned());
            }
            14 => {
                let room = self.room();
                if self.random.bool() {
                    command(&mut self.engine, Command::Leave { room: self::room(&room) });
                }
                self.join(&room);
            }
            15 => {
                let (room, seq) = (self.room(), self.random.u64(1..100));
                command(&mut self.engine, Command::MarkRead { room: self::room(&room), seq });
            }
            16..24 => self.take(),
            24..45 => self.send(),
            45..65 => {
                let refuses = self.service.rates.is_none() && self.random.u8(..) < 12;
                self.service.handle(refuses, self.now);
            }
            65..90 => self.receive(),
            90..93 => self.cut(),
            93 => self.service.to_client.push_back(draining(Duration::from_secs(1))),
            _ => {
                if self.service.rates.is_some() {
                    // What is sent together is refused together: no hint passes in between.
                    self.service.handle_all(self.now);
                }
                while self.quick && !self.service.to_client.is_empty() {
                    self.receive();
                }
                self.now = self.now + Duration::from_millis(self.random.u64(..3_000));
                self.engine.tick(self.now);
            }
        }
        self.act();
    }

    /// The engine sends one frame, if it has one.
    fn send(&mut self) {
        let Some(frame) = self.engine.next_frame() else { return };
        if let Some(kind) = frame.body.as_ref().and_then(kind) {
            assert!(self.now >= self.asked_to_wait[kind], "{frame:?} is sent too soon");
        }
        if let Some(client_frame::Body::Send(pb::Send { room, text, .. })) = &frame.body {
            let number = text.parse().unwrap();
            self.refused.remove(&(room.clone(), number));
            let overtaken = self.refused.iter().any(|(other, earlier)| other == room && *earlier < number);
            assert!(!overtaken && !self.unsettled, "{number} overtakes another, or may do so");
            self.in_flight.insert(frame.id, (room.clone(), number));
        }
        self.service.to_service.push_back(frame);
    }

    /// The engine receives one frame.
    fn receive(&mut self) {
        let Some(frame) = self.service.to_client.pop_front() else { return };
        let replied = self.in_flight.remove(&frame.reply_to);
        if let Some(server_frame::Body::Error(error)) = &frame.body {
            let status = convert::status_from_wire(error.clone());
            if let (Some(rate), Some(hint)) = (convert::rate(&status), convert::retry_hint(&status)) {
                let waits = &mut self.asked_to_wait[usize::from(rate == "joins")];
                *waits = (*waits).max(self.now + hint);
            }
        }
        if let (Some(message), Some(server_frame::Body::Error(_))) = (replied, &frame.body) {
            self.refused.insert(message);
            self.unsettled = true;
        }
        self.unsettled &= !self.in_flight.is_empty();
        self.engine.frame_received(frame, self.now);
    }

    fn cut(&mut self) {
        if matches!(self.engine.phase, Phase::Online(_)) {
            self.service.cut();
            self.engine.session_ended(&Status::unavailable("cut"), self.now);
        }
    }

    /// The application takes one update.
    fn take(&mut self) {
        match self.events.try_next() {
            Some(Update::Event(event)) => self.received.entry(event.room.to_string()).or_default().push(event.seq),
            Some(Update::Joined(joined)) => {
                let last = self.received.get(joined.room.as_str()).and_then(|seqs| seqs.last()).copied();
                assert!(joined.verdict == Verdict::Live || last.is_none_or(|last| last == joined.start));
            }
            Some(Update::Refused { .. }) => panic!("a caller waits for every draft"),
            _ => {}
        }
        if !self.mailbox.is_overfull() {
            self.engine.resume();
        }
    }

    /// Carries out what the engine has decided.
    fn act(&mut self) {
        for action in std::mem::take(&mut self.engine.actions) {
            match action {
                Action::Connect => {
                    self.connected += 1;
                    self.service.cut();
                    // All are sent again, in order.
                    (self.unsettled, self.in_flight, self.refused) = (false, HashMap::new(), HashSet::new());
                    if self.random.u8(..) < 50 {
                        self.engine.session_ended(&Status::unavailable("unreachable"), self.now);
                    } else {
                        self.engine.session_opened(&welcome(), self.now);
                    }
                }
                Action::Disconnect => self.service.cut(),
                Action::SaveDraft(draft) => assert!(self.saved.insert(draft.id)),
                Action::RemoveDraft(id) => assert!(self.saved.remove(&id)),
                Action::Deliver(update) => {
                    if self.mailbox.put(update) {
                        self.pauses += usize::from(!self.engine.paused);
                        self.engine.pause();
                    }
                }
                Action::SetOwner(_) => {}
                Action::GetToken | Action::Finish => panic!("nothing asks for it"),
            }
        }
        if !self.engine.actions.is_empty() {
            self.act();
        }
    }

    /// Joins both rooms, goes through many steps, and checks what has come of it once nothing is left to do.
    fn live_in_two_rooms(&mut self, seed: u64) {
        self.join("north");
        self.join("south");
        self.act();
        for _ in 0..600 {
            self.step();
        }
        self.run_to_rest();
        self.check(seed);
    }

    /// Runs without disturbances until nothing is left to do.
    fn run_to_rest(&mut self) {
        // A session that is draining is ended by the service.
        self.cut();
        for _ in 0..100_000 {
            self.now = self.now + Duration::from_millis(100);
            self.engine.tick(self.now);
            self.act();
            for _ in 0..100 {
                self.take();
            }
            while self.engine.has_frame() {
                self.send();
            }
            while !self.service.to_service.is_empty() || !self.service.to_client.is_empty() {
                self.service.handle(false, self.now);
                self.receive();
                self.act();
            }
            let taken = self.mailbox.is_empty();
            if self.engine.outbox.is_empty() && self.engine.rooms.are_all_live() && !self.engine.has_frame() && taken {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Every draft is stored once and acked once, every event delivered once and in order.
    fn check(&mut self, seed: u64) {
        let joined = self.joining.iter_mut().map(|joined| joined.try_recv().expect("every Join has an outcome"));
        assert!(joined.filter(Result::is_ok).count() > 0);
        let mut ids = HashSet::new();
        for acked in &mut self.acked {
            assert!(ids.insert(acked.try_recv().unwrap().unwrap().id), "seed {seed}");
        }
        let ours = self.service.rooms.values().flatten().filter(|event| event.sender == "sam").count();
        assert_eq!(ours, self.drafts, "seed {seed}");
        for (room, events) in &self.service.rooms {
            let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
            assert_eq!(self.received.get(room).cloned().unwrap_or_default(), seqs, "seed {seed}");
        }
        assert_eq!(self.saved, HashSet::new(), "an acked draft is not saved, seed {seed}");
    }
}

#[test]
fn every_draft_is_stored_once_and_every_event_delivered_once_and_in_order() {
    let (mut connected, mut repeats, mut stored, mut pauses) = (0, 0, 0, 0);
    for seed in 0..500 {
        let mut world = World::new(seed, ["north", "south"].map(str::to_owned).to_vec(), 16);
        world.live_in_two_rooms(seed);
        (connected, repeats, stored, pauses) = (
            connected + world.connected,
            repeats + world.service.duplicates,
            stored + world.drafts,
            pauses + world.pauses,
        );
    }
    // Otherwise little was tried.
    let tried = connected > 5_000 && repeats > 1_000 && stored > 20_000 && pauses > 500;
    assert!(tried, "{connected} {repeats} {stored} {pauses}");
}

#[test]
fn a_client_over_its_rates_waits_as_asked_and_its_drafts_keep_their_order() {
    let (mut over, mut stored) = (0, 0);
    for seed in 0..200 {
        let mut world = World::new(seed, ["north", "south"].map(str::to_owned).to_vec(), 64);
        world.quick = seed % 2 == 0;
        let rates = [Rate::new(Duration::from_millis(800), 3), Rate::new(Duration::from_secs(3), 2)];
        world.service.rates = Some(rates);
        world.live_in_two_rooms(seed);
        for events in world.service.rooms.values() {
            let numbers = events.iter().filter(|event| event.sender == "sam").map(|event| match &event.body {
                Some(event::Body::Posted(posted)) => posted.text.parse().unwrap(),
                body => panic!("{body:?}"),
            });
            let numbers: Vec<u32> = numbers.collect();
            assert!(!world.quick || numbers.is_sorted(), "seed {seed}: {numbers:?}");
        }
        (over, stored) = (over + world.service.over, stored + world.drafts);
    }
    assert!(over > 5_000 && stored > 8_000, "{over} {stored}");
}

#[test]
fn a_slow_application_in_many_rooms_misses_nothing() {
    let rooms: Vec<String> = (0..100).map(|n| format!("room/{n:02}")).collect();
    let mut world = World::new(1, rooms.clone(), MailboxLimits { updates: 1, bytes: 1 }.clamped().updates);
    for room in &rooms {
        world.join(room);
    }
    world.act();
    const EVENTS: usize = 6_000;
    for turn in 0.. {
        assert!(turn < 100_000, "{:?}", world.received);
        if turn < EVENTS {
            let id = (turn as u128).to_be_bytes().to_vec().into();
            world.service.store(&rooms[turn % rooms.len()], "ann", id, "Hey".to_owned());
        }
        // Much is received before the application takes one update.
        for _ in 0..10 {
            world.send();
            world.service.handle(false, world.now);
            world.receive();
            world.act();
        }
        if turn % 3 == 0 {
            world.take();
            world.act();
        }
        if world.received.values().map(Vec::len).sum::<usize>() == EVENTS {
            break;
        }
    }
    assert!(world.pauses > 5, "{}", world.pauses);
    for room in &rooms {
        let seqs: Vec<u64> = world.service.rooms[room].iter().map(|event| event.seq).collect();
        assert_eq!(world.received[room], seqs, "{room}");
    }
}
