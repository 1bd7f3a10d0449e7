//! The protocol by itself: exact instants, races of results, and random conversations.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::address::{LogAddresses, Peer};
use crate::model::{Change, Invalid};

mod time;

const EPOCH: Epoch = 7;
const HEARTBEAT: Duration = Duration::from_secs(10);
const HELLO: Duration = Duration::from_secs(5);
const AGE: Duration = Duration::from_secs(1000);
const IN_FLIGHT: usize = 4;
const ROOMS: usize = 2;

/// A protocol and a clock.
struct Conversation {
    protocol: Protocol,
    start: Instant,
    now: Instant,
}

fn caller() -> Caller {
    Caller::at(Peer::new(([127, 0, 0, 1], 1).into(), LogAddresses::Full))
}

fn settings() -> Settings {
    let limits = SessionLimits {
        heartbeat: HEARTBEAT,
        hello: HELLO,
        age: AGE,
        in_flight: IN_FLIGHT,
        rooms: ROOMS,
        ..SessionLimits::default()
    };
    let durability = Durability::Memory;
    Settings { caller: caller(), named: true, policy: Policy, limits, epoch: EPOCH, durability }
}

impl Conversation {
    fn new() -> Self {
        let start = Instant::now();
        Self { protocol: Protocol::new(settings(), start), start, now: start }
    }

    /// After Hello, which had id 1.
    fn open() -> Self {
        let mut conversation = Self::new();
        let actions = conversation.say(1, hello());
        assert!(matches!(actions[..], [Action::Welcome { reply_to: 1, .. }]), "{actions:?}");
        conversation
    }

    /// The actions since the last call.
    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.protocol.next()).collect()
    }

    fn say(&mut self, id: u64, request: Request) -> Vec<Action> {
        self.receive(id, Ok(request))
    }

    fn receive(&mut self, id: u64, request: Result<Request, Refusal>) -> Vec<Action> {
        self.protocol.frame(Inbound { id, request }, self.now);
        self.actions()
    }

    fn tick(&mut self, at: Duration, blocked: bool) -> Vec<Action> {
        self.now = self.start + at;
        self.protocol.tick(self.now, blocked);
        self.actions()
    }

    fn deadline(&self) -> Option<Duration> {
        self.protocol.deadline().map(|at| at - self.start)
    }

    fn appended(&mut self, id: u64, result: Result<Appended, AppendError>) -> Vec<Action> {
        self.protocol.appended(id, room("r"), ClientMsgId([0; 16]), result);
        self.actions()
    }

    fn state_read(&mut self, id: u64, result: Result<RoomState, ReadError>) -> Vec<Action> {
        self.protocol.state_read(id, &room("r"), result);
        self.actions()
    }

    fn marked(&mut self, id: u64, result: Result<Seq, AppendError>) -> Vec<Action> {
        self.protocol.marked(id, &room("r"), result);
        self.actions()
    }

    fn drain(&mut self) -> Vec<Action> {
        self.protocol.drain();
        self.actions()
    }

    fn half_close(&mut self) -> Vec<Action> {
        self.protocol.half_close();
        self.actions()
    }
}

fn room(id: &str) -> RoomId {
    RoomId::new(id).unwrap()
}

fn hello() -> Request {
    Request::Hello(Hello {
        user: Some(UserId::new("ann").unwrap()),
        device: None,
        heartbeats: true,
        client: String::new(),
    })
}

fn post() -> Request {
    let change = Change::Post { text: "Hi".into(), reply_to: None };
    Request::Change(ChangeRequest {
        room: room("r"),
        client_msg_id: ClientMsgId([0; 16]),
        change,
        expected: Expected::default(),
        sender: None,
    })
}

fn join(id: &str) -> Request {
    Request::Join { room: room(id), start: Start::Last(0) }
}

fn leave(id: &str) -> Request {
    Request::Leave { room: room(id) }
}

fn stored(seq: Seq) -> Result<Appended, AppendError> {
    Ok(Appended { seq, time: 0, duplicate: false })
}

/// The id and the reason of a single refusal.
fn refused(actions: &[Action]) -> (u64, &Refusal) {
    match actions {
        [Action::Send { reply_to, body: Body::Error(refusal) }] => (*reply_to, refusal),
        other => panic!("not a single refusal: {other:?}"),
    }
}

#[test]
fn a_draining_session_completes_what_is_in_flight_and_accepts_nothing_new() {
    let mut session = Conversation::open();
    session.say(2, post());
    session.say(3, join("r"));
    session.say(4, Request::MarkRead { room: room("r"), seq: 1 });
    assert_eq!(session.drain(), [Action::SendDraining { reason: DrainReason::Shutdown }]);
    assert_eq!(session.drain(), [], "once");
    assert_eq!(session.deadline(), None);
    for (id, request) in [(5, post()), (6, join("r")), (7, Request::MarkRead { room: room("r"), seq: 1 })] {
        assert_eq!(refused(&session.say(id, request)), (id, &Refusal::Draining));
    }
    assert_eq!(session.say(8, Request::Ping), [Action::Send { reply_to: 8, body: Body::Pong }]);
    assert!(matches!(session.appended(2, stored(1))[..], [Action::Send { reply_to: 2, body: Body::Ack { .. } }]));
    assert!(matches!(session.state_read(3, Ok(RoomState::default()))[..], [Action::Seat { reply_to: 3, .. }]));
    let last = session.marked(4, Err(AppendError::Unknown));
    assert_eq!(refused(&last[..1]), (4, &Refusal::OutcomeUnknown));
    assert_eq!(last[1..], [Action::End(End::Drained)]);
    assert_eq!(session.say(9, Request::Ping), []);
}

#[test]
fn a_drain_before_hello_ends_at_once() {
    assert_eq!(Conversation::new().drain(), [Action::End(End::Drained)]);
}

#[test]
fn a_half_closed_session_completes_what_is_in_flight_then_finishes() {
    let mut session = Conversation::open();
    session.say(2, post());
    session.say(3, join("r"));
    assert_eq!(session.half_close(), []);
    // A client that has announced the end of its frames is not pinged.
    assert_eq!(session.deadline(), None);
    assert_eq!(session.appended(2, stored(1)).len(), 1);
    let last = session.state_read(3, Ok(RoomState { head: 1, oldest: 1, before_last: 1, ..RoomState::default() }));
    assert!(
        matches!(&last[..], [Action::Seat { reply_to: 3, .. }, Action::Finish { rooms }] if *rooms[0].room() == room("r"))
    );
    assert_eq!(session.drain(), []);
}

#[test]
fn a_drain_after_a_half_close_ends_unavailable_with_everything_answered() {
    let mut session = Conversation::open();
    session.say(2, post());
    session.half_close();
    assert_eq!(session.drain(), [Action::SendDraining { reason: DrainReason::Shutdown }]);
    assert_eq!(session.appended(2, stored(1))[1..], [Action::End(End::Drained)]);
}

#[test]
fn half_closing_before_hello_is_not_an_error() {
    assert_eq!(Conversation::new().half_close(), [Action::End(End::Completed)]);
}

#[test]
fn only_the_latest_join_is_seated_in_whatever_order_results_come() {
    type Step = fn(&mut Conversation) -> Vec<Action>;
    let steps: [Step; 2] = [
        |session| session.state_read(2, Ok(RoomState::default())),
        |session| session.state_read(4, Ok(RoomState::default())),
    ];
    for order in [[0, 1], [1, 0]] {
        let mut session = Conversation::open();
        session.say(2, join("r"));
        assert_eq!(session.say(3, leave("r"))[0], Action::Leave { room: room("r") });
        session.say(4, join("r"));
        for which in order {
            let actions = steps[which](&mut session);
            match which {
                0 => assert_eq!(refused(&actions), (2, &Refusal::JoinSuperseded { room: room("r") })),
                _ => assert!(matches!(actions[..], [Action::Seat { reply_to: 4, .. }]), "{actions:?}"),
            }
        }
        assert_eq!(session.protocol.in_flight, 0);
    }
}

#[test]
fn a_result_after_the_room_was_left_seats_nobody() {
    let mut session = Conversation::open();
    session.say(2, join("r"));
    session.say(3, leave("r"));
    assert_eq!(
        refused(&session.state_read(2, Ok(RoomState::default()))),
        (2, &Refusal::JoinSuperseded { room: room("r") })
    );
    assert_eq!(refused(&session.say(4, leave("r"))), (4, &Refusal::NotJoined { room: room("r") }));
}

#[test]
fn a_join_that_fails_changes_nothing() {
    let mut session = Conversation::open();
    session.say(2, join("r"));
    assert_eq!(refused(&session.state_read(2, Err(ReadError::Unavailable))), (2, &Refusal::HistoryUnavailable));
    assert_eq!(refused(&session.say(3, leave("r"))), (3, &Refusal::NotJoined { room: room("r") }));
    session.say(4, join("r"));
    session.state_read(4, Ok(RoomState::default()));
    session.say(5, join("r"));
    assert_eq!(refused(&session.state_read(5, Err(ReadError::Unavailable))), (5, &Refusal::HistoryUnavailable));
    assert_eq!(session.say(6, leave("r"))[0], Action::Leave { room: room("r") }, "the first join still holds");
}

#[test]
fn limits_count_joined_rooms_and_requests_in_flight() {
    let mut session = Conversation::open();
    for (id, name) in [(2, "a"), (3, "b")] {
        session.say(id, join(name));
    }
    assert_eq!(refused(&session.say(4, join("c"))), (4, &Refusal::TooManyRooms));
    assert!(matches!(session.say(5, join("a"))[..], [Action::ReadState { id: 5, .. }]));
    session.say(6, post());
    for (id, request) in [(7, post()), (8, join("a")), (9, Request::MarkRead { room: room("r"), seq: 1 })] {
        assert_eq!(refused(&session.say(id, request)), (id, &Refusal::TooManyInFlight));
    }
    session.appended(6, stored(1));
    assert!(matches!(session.say(10, post())[..], [Action::Append { id: 10, .. }]));
}

#[test]
fn ids_must_rise_and_other_errors_of_a_frame_come_first() {
    let bad = Refusal::Field { name: "room", why: Invalid("is bad") };
    for (id, request, why) in [
        (1, Ok(Request::Ping), Refusal::IdNotRising),
        (0, Err(Refusal::Undecodable), Refusal::Undecodable),
        (0, Err(Refusal::UnknownBody), Refusal::UnknownBody),
        (1, Err(bad.clone()), Refusal::IdNotRising),
        (2, Err(bad.clone()), bad.clone()),
    ] {
        assert_eq!(refused(&Conversation::open().receive(id, request)), (id, &why));
    }
}

#[test]
fn before_hello_only_hello_is_accepted() {
    let bad = Refusal::Field { name: "user", why: Invalid("is bad") };
    for (id, request, why) in [
        (1, Ok(Request::Ping), Refusal::HelloExpected),
        (0, Ok(Request::Ping), Refusal::HelloExpected),
        (1, Err(bad.clone()), bad.clone()),
    ] {
        assert_eq!(Conversation::new().receive(id, request), [Action::End(End::Refused(why))]);
    }
}

#[test]
fn after_the_end_late_results_are_ignored() {
    let mut session = Conversation::open();
    session.say(2, post());
    session.say(3, join("r"));
    session.protocol.end(End::RepliesUnread);
    assert_eq!(session.actions(), [Action::End(End::RepliesUnread)]);
    assert_eq!(session.appended(2, stored(1)), []);
    assert_eq!(session.state_read(3, Ok(RoomState::default())), []);
    assert_eq!(session.half_close(), []);
    assert_eq!(session.drain(), []);
}

#[test]
fn verdicts() {
    let id = |n| Some(ClientMsgId([n; 16]));
    let after = |epoch, seq| Start::After { epoch, seq, client_msg_id: None };
    let after_event = |seq, n| Start::After { epoch: EPOCH, seq, client_msg_id: id(n) };
    let whole = RoomState { head: 10, oldest: 1, before_last: 7, ..RoomState::default() };
    let trimmed = RoomState { oldest: 5, before_last: 4, ..whole };
    let empty = RoomState::default();
    let with_id = |n, state| RoomState { id_at: id(n), ..state };
    for (start, state, expected) in [
        (Start::Last(3), whole, (Verdict::Live, 7)),
        (Start::Last(99), trimmed, (Verdict::Live, 4)),
        (Start::Last(5), empty, (Verdict::Live, 0)),
        (after(EPOCH, 0), whole, (Verdict::Recovered, 0)),
        (after(EPOCH, 10), whole, (Verdict::Recovered, 10)),
        (after(EPOCH, 11), whole, (Verdict::ResetAhead, 10)),
        (after(EPOCH, Seq::MAX), whole, (Verdict::ResetAhead, 10)),
        (after(EPOCH, 4), trimmed, (Verdict::Recovered, 4)),
        (after(EPOCH, 3), trimmed, (Verdict::ResetExpired, 10)),
        (after(EPOCH + 1, 4), whole, (Verdict::ResetEpoch, 10)),
        (after(0, 4), whole, (Verdict::ResetEpoch, 10)),
        (after_event(4, 1), with_id(1, whole), (Verdict::Recovered, 4)),
        (after_event(4, 1), with_id(2, whole), (Verdict::ResetForked, 10)),
        (after_event(10, 1), with_id(2, whole), (Verdict::ResetForked, 10)),
        (after_event(11, 1), whole, (Verdict::ResetAhead, 10)),
        (after_event(4, 1), trimmed, (Verdict::Recovered, 4)),
        (after_event(3, 1), trimmed, (Verdict::ResetExpired, 10)),
        (after(EPOCH, 4), with_id(2, whole), (Verdict::Recovered, 4)),
        (Start::Beginning, whole, (Verdict::Recovered, 0)),
        (Start::Beginning, empty, (Verdict::Recovered, 0)),
        (Start::Beginning, trimmed, (Verdict::ResetExpired, 10)),
    ] {
        assert_eq!(verdict(start, EPOCH, state), expected, "{start:?} {state:?}");
    }
}

/// An input to the protocol.
#[derive(Clone, Debug)]
enum Input {
    /// A frame with the next id.
    Frame(Kind),
    /// A frame without an id, or with one that was used before.
    FrameWithId(u64, Kind),
    /// The n-th request in flight (modulo their number) succeeds or fails.
    Complete(usize, bool),
    /// Time passes, in tenths of a heartbeat.
    Wait(u32),
    /// Time passes up to the deadline, and there is a tick.
    Deadline(bool),
    /// A tick without a reason.
    Tick(bool),
    Drain,
    HalfClose,
    RepliesUnread,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Hello,
    Join(u8),
    Leave(u8),
    Post,
    Mark,
    Typing(u8),
    Ping,
    Pong,
    Token,
    Bad,
}

impl Kind {
    fn request(self) -> Result<Request, Refusal> {
        let name = |n: u8| format!("room-{n}");
        Ok(match self {
            Self::Hello => hello(),
            Self::Join(n) => join(&name(n)),
            Self::Leave(n) => leave(&name(n)),
            Self::Post => post(),
            Self::Mark => Request::MarkRead { room: room("r"), seq: 1 },
            Self::Typing(n) => Request::Typing { room: room(&name(n)) },
            Self::Ping => Request::Ping,
            Self::Pong => Request::Pong,
            Self::Token => Request::RefreshToken,
            Self::Bad => return Err(Refusal::Undecodable),
        })
    }

    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            1 => Just(Self::Hello),
            5 => (0..4u8).prop_map(Self::Join),
            3 => (0..4u8).prop_map(Self::Leave),
            6 => Just(Self::Post),
            2 => Just(Self::Mark),
            2 => (0..4u8).prop_map(Self::Typing),
            2 => Just(Self::Ping),
            1 => Just(Self::Pong),
            1 => Just(Self::Token),
            1 => Just(Self::Bad),
        ]
    }
}

impl Input {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            20 => Kind::any().prop_map(Self::Frame),
            3 => (0..3u64, Kind::any()).prop_map(|(id, kind)| Self::FrameWithId(id, kind)),
            15 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(nth, ok)| Self::Complete(nth, ok)),
            5 => (0..30u32).prop_map(Self::Wait),
            5 => any::<bool>().prop_map(Self::Deadline),
            2 => any::<bool>().prop_map(Self::Tick),
            1 => Just(Self::Drain),
            1 => Just(Self::HalfClose),
            1 => Just(Self::RepliesUnread),
        ]
    }
}

/// The requests in flight and the replies owed, as an observer counts them.
#[derive(Default)]
struct Ledger {
    /// The actions whose results are awaited.
    in_flight: Vec<Action>,
    /// Replies owed minus replies given, for each id.
    owed: HashMap<u64, i64>,
    /// The latest Join in each room that was not left since.
    joining: HashMap<RoomId, u64>,
    ended: Option<Action>,
}

impl Ledger {
    fn record(&mut self, actions: Vec<Action>) {
        for action in actions {
            assert!(self.ended.is_none(), "{action:?} after {:?}", self.ended);
            match &action {
                Action::Welcome { reply_to, .. } | Action::Send { reply_to, .. } => self.replied(*reply_to),
                Action::Seat { reply_to, joined, .. } => {
                    self.replied(*reply_to);
                    assert_eq!(self.joining.get(&joined.room), Some(reply_to), "only the latest join is seated");
                }
                Action::ReadState { id, permit, .. } => {
                    self.joining.insert(permit.room().clone(), *id);
                    self.in_flight.push(action);
                }
                Action::Append { .. } | Action::MarkRead { .. } => self.in_flight.push(action),
                Action::Leave { room } => {
                    self.joining.remove(room);
                }
                Action::Typing { .. } | Action::SendDraining { .. } => {}
                Action::Finish { .. } | Action::End(End::Drained | End::Completed) => {
                    assert!(self.in_flight.is_empty());
                    assert!(self.owed.values().all(|owed| *owed == 0), "{:?}", self.owed);
                    self.ended = Some(action);
                }
                Action::End(_) => self.ended = Some(action),
            }
        }
    }

    fn replied(&mut self, id: u64) {
        if id > 0 {
            let owed = self.owed.get_mut(&id).expect("a frame with that id");
            *owed -= 1;
            assert!(*owed >= 0, "{id} is replied to twice");
        }
    }
}

/// Completes a request in flight.
fn complete(protocol: &mut Protocol, request: Action, ok: bool) {
    match request {
        Action::Append { id, draft, .. } => {
            let result = if ok { stored(1) } else { Err(AppendError::Unknown) };
            protocol.appended(id, draft.room, draft.client_msg_id, result);
        }
        Action::ReadState { id, permit, .. } => {
            let result = if ok { Ok(RoomState::default()) } else { Err(ReadError::Unavailable) };
            protocol.state_read(id, permit.room(), result);
        }
        Action::MarkRead { id, permit, seq, .. } => {
            let result = if ok { Ok(seq) } else { Err(AppendError::NoSuchMessage) };
            protocol.marked(id, permit.room(), result);
        }
        other => unreachable!("{other:?}"),
    }
}

fn converse(inputs: Vec<Input>) {
    let mut session = Conversation::new();
    let mut ledger = Ledger::default();
    let (mut next_id, mut half_closed) = (0, false);
    for input in inputs {
        match input {
            Input::Frame(_) | Input::FrameWithId(..) if half_closed => continue,
            Input::Frame(kind) => {
                next_id += 1;
                let request = if next_id == 1 { Ok(hello()) } else { kind.request() };
                if ledger.ended.is_none() {
                    ledger.owed.insert(next_id, 1);
                }
                session.protocol.frame(Inbound { id: next_id, request }, session.now);
            }
            Input::FrameWithId(id, kind) => {
                // The reply to a used id says so; a frame with id 0 needs no reply.
                if id > 0 && id <= next_id && ledger.ended.is_none() {
                    *ledger.owed.entry(id).or_default() += 1;
                } else if id > next_id {
                    continue;
                }
                session.protocol.frame(Inbound { id, request: kind.request() }, session.now);
            }
            Input::Complete(nth, ok) => {
                if ledger.in_flight.is_empty() {
                    continue;
                }
                let request = ledger.in_flight.swap_remove(nth % ledger.in_flight.len());
                complete(&mut session.protocol, request, ok);
            }
            Input::Wait(tenths) => session.now += HEARTBEAT / 10 * tenths,
            Input::Deadline(blocked) => {
                let Some(due) = session.protocol.deadline() else { continue };
                session.now = session.now.max(due);
                session.protocol.tick(session.now, blocked);
                let next = session.protocol.deadline();
                assert!(next.is_none_or(|next| next > session.now), "the timer would spin");
            }
            Input::Tick(blocked) => session.protocol.tick(session.now, blocked),
            Input::Drain => session.protocol.drain(),
            Input::HalfClose => {
                if !std::mem::replace(&mut half_closed, true) {
                    session.protocol.half_close();
                }
            }
            Input::RepliesUnread => session.protocol.end(End::RepliesUnread),
        }
        ledger.record(session.actions());
        assert_eq!(session.protocol.in_flight, ledger.in_flight.len());
        assert!(ledger.in_flight.len() <= IN_FLIGHT);
        assert!(session.protocol.rooms.len() <= ROOMS);
        if ledger.ended.is_some() {
            assert_eq!(session.protocol.deadline(), None);
        }
    }
    // A session that is half-closed ends once everything is completed.
    session.protocol.half_close();
    ledger.record(session.actions());
    while let Some(request) = ledger.in_flight.pop() {
        complete(&mut session.protocol, request, true);
        ledger.record(session.actions());
    }
    assert!(ledger.ended.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_frame_gets_one_reply_and_nothing_follows_the_end(
        inputs in prop::collection::vec(Input::any(), 0..120),
    ) {
        converse(inputs);
    }
}
