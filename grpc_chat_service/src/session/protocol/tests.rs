//! The protocol by itself: exact instants, races of answers, and random conversations.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Change, Invalid};

const EPOCH: Epoch = 7;
const HEARTBEAT: Duration = Duration::from_secs(10);
const HELLO: Duration = Duration::from_secs(5);
const AGE: Duration = Duration::from_secs(1000);
const IN_FLIGHT: usize = 4;
const ROOMS: usize = 2;

/// A protocol, a clock, and the actions of the last input.
struct Talk {
    protocol: Protocol,
    start: Instant,
    now: Instant,
    actions: Vec<Action>,
}

fn limits() -> Limits {
    Limits {
        heartbeat: HEARTBEAT,
        hello: HELLO,
        session_age: AGE,
        in_flight: IN_FLIGHT,
        rooms: ROOMS,
        ..Limits::default()
    }
}

impl Talk {
    fn new() -> Self {
        let start = Instant::now();
        let protocol = Protocol::new(limits(), EPOCH, Durability::Memory, start);
        Self { protocol, start, now: start, actions: Vec::new() }
    }

    /// After Hello, which had id 1.
    fn open() -> Self {
        let mut talk = Self::new();
        let actions = talk.say(1, hello());
        assert!(matches!(actions[..], [Action::Welcome { reply_to: 1, .. }]), "{actions:?}");
        talk
    }

    fn say(&mut self, id: u64, request: Request) -> Vec<Action> {
        self.hear(id, Ok(request))
    }

    fn hear(&mut self, id: u64, request: Result<Request, Refusal>) -> Vec<Action> {
        self.protocol.frame(Inbound { id, request }, self.now, &mut self.actions);
        std::mem::take(&mut self.actions)
    }

    fn tick(&mut self, at: Duration, blocked: bool) -> Vec<Action> {
        self.now = self.start + at;
        self.protocol.tick(self.now, blocked, &mut self.actions);
        std::mem::take(&mut self.actions)
    }

    fn deadline(&self) -> Option<Duration> {
        self.protocol.deadline().map(|at| at - self.start)
    }

    fn appended(&mut self, id: u64, answer: Result<Appended, AppendError>) -> Vec<Action> {
        self.protocol.appended(id, room("r"), ClientMsgId([0; 16]), answer, &mut self.actions);
        std::mem::take(&mut self.actions)
    }

    fn looked(&mut self, id: u64, answer: Result<Look, ReadError>) -> Vec<Action> {
        self.protocol.looked(id, room("r"), answer, &mut self.actions);
        std::mem::take(&mut self.actions)
    }

    fn drain(&mut self) -> Vec<Action> {
        self.protocol.drain(&mut self.actions);
        std::mem::take(&mut self.actions)
    }

    fn close(&mut self) -> Vec<Action> {
        self.protocol.half_closed(&mut self.actions);
        std::mem::take(&mut self.actions)
    }
}

fn room(id: &str) -> RoomId {
    RoomId::new(id).unwrap()
}

fn hello() -> Request {
    Request::Hello(Hello { user: UserId::new("ann").unwrap(), device: None, client: String::new() })
}

fn post() -> Request {
    let change = Change::Post { text: "Hi".to_owned(), reply_to: None };
    Request::Change { room: room("r"), client_msg_id: ClientMsgId([0; 16]), change, epoch: 0, sender: None }
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

/// The id and the reason of a refusal.
fn refused(actions: &[Action]) -> (u64, &Refusal) {
    match actions {
        [Action::Say { reply_to, body: Body::Refused(refusal) }] => (*reply_to, refusal),
        other => panic!("not one refusal: {other:?}"),
    }
}

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn silence_is_asked_about_twice_and_then_taken_for_gone() {
    let mut talk = Talk::open();
    let ping = [Action::Say { reply_to: 0, body: Body::Ping }];
    assert_eq!(talk.deadline(), Some(secs(10.0)));
    assert_eq!(talk.tick(secs(9.999), false), []);
    assert_eq!(talk.tick(secs(10.0), false), ping);
    assert_eq!(talk.deadline(), Some(secs(20.0)));
    assert_eq!(talk.tick(secs(19.999), false), []);
    assert_eq!(talk.tick(secs(20.0), false), ping);
    assert_eq!(talk.deadline(), Some(secs(25.0)));
    assert_eq!(talk.tick(secs(24.999), false), []);
    assert_eq!(talk.tick(secs(25.0), false), [Action::End(End::Silent)]);
    assert_eq!(talk.deadline(), None);
}

#[test]
fn a_late_tick_asks_once_and_does_not_count_what_it_slept_through() {
    let mut talk = Talk::open();
    assert_eq!(talk.tick(secs(17.0), false), [Action::Say { reply_to: 0, body: Body::Ping }]);
    assert_eq!(talk.deadline(), Some(secs(25.0)));
}

#[test]
fn any_frame_is_a_sign_of_life_even_one_that_is_refused() {
    for request in [Ok(Request::Pong), Err(Refusal::Undecodable), Ok(Request::Typing { room: room("r") })] {
        let mut talk = Talk::open();
        talk.tick(secs(10.0), false);
        talk.tick(secs(24.0), false);
        talk.hear(0, request);
        assert_eq!(talk.deadline(), Some(secs(34.0)));
        assert_eq!(talk.tick(secs(26.0), false), []);
    }
}

#[test]
fn a_blocked_client_is_neither_asked_nor_ended_until_it_reads_and_says_nothing() {
    let mut talk = Talk::open();
    talk.tick(secs(10.0), false);
    for at in [20.0, 30.0, 40.0] {
        assert_eq!(talk.tick(secs(at), true), []);
        assert_eq!(talk.deadline(), Some(secs(at + 10.0)));
    }
    talk.tick(secs(50.0), false);
    talk.tick(secs(60.0), false);
    assert_eq!(talk.tick(secs(65.0), false), [Action::End(End::Silent)]);
}

#[test]
fn hello_is_due_at_its_instant() {
    let mut talk = Talk::new();
    assert_eq!(talk.deadline(), Some(HELLO));
    assert_eq!(talk.tick(secs(4.999), false), []);
    assert_eq!(talk.tick(HELLO, false), [Action::End(End::NoHello)]);
    assert_eq!(talk.say(1, hello()), []);
}

#[test]
fn age_ends_a_session_whether_or_not_it_is_blocked() {
    for blocked in [false, true] {
        let mut talk = Talk::open();
        talk.now = talk.start + AGE - secs(1.0);
        talk.say(0, Request::Pong);
        assert_eq!(talk.deadline(), Some(AGE));
        let ended = [Action::Farewell { reason: Leaving::Age }, Action::End(End::Left)];
        assert_eq!(talk.tick(AGE, blocked), ended);
    }
}

#[test]
fn a_drain_waits_for_what_is_in_flight_and_takes_nothing_new() {
    let mut talk = Talk::open();
    talk.say(2, post());
    talk.say(3, join("r"));
    talk.say(4, Request::MarkRead { room: room("r"), seq: 1 });
    assert_eq!(talk.drain(), [Action::Farewell { reason: Leaving::Shutdown }]);
    assert_eq!(talk.drain(), [], "once");
    assert_eq!(talk.deadline(), None);
    for (id, request) in [(5, post()), (6, join("r")), (7, Request::MarkRead { room: room("r"), seq: 1 })] {
        assert_eq!(refused(&talk.say(id, request)), (id, &Refusal::Leaving));
    }
    assert_eq!(talk.say(8, Request::Ping), [Action::Say { reply_to: 8, body: Body::Pong }]);
    assert!(matches!(talk.appended(2, stored(1))[..], [Action::Say { reply_to: 2, body: Body::Ack { .. } }]));
    assert!(matches!(talk.looked(3, Ok(Look::default()))[..], [Action::Seat { reply_to: 3, .. }]));
    talk.protocol.marked(4, &room("r"), Err(AppendError::Unknown), &mut talk.actions);
    let last = std::mem::take(&mut talk.actions);
    assert_eq!(refused(&last[..1]), (4, &Refusal::OutcomeUnknown));
    assert_eq!(last[1..], [Action::End(End::Left)]);
    assert_eq!(talk.say(9, Request::Ping), []);
}

#[test]
fn a_drain_before_hello_ends_at_once() {
    assert_eq!(Talk::new().drain(), [Action::End(End::Left)]);
}

#[test]
fn half_closing_waits_for_what_is_in_flight_then_finishes() {
    let mut talk = Talk::open();
    talk.say(2, post());
    talk.say(3, join("r"));
    assert_eq!(talk.close(), []);
    // Nobody is asked for a sign of life who has said that nothing more will come.
    assert_eq!(talk.deadline(), None);
    assert_eq!(talk.appended(2, stored(1)).len(), 1);
    let last = talk.looked(3, Ok(Look { head: 1, oldest: 1, read: 0 }));
    assert!(matches!(&last[..], [Action::Seat { reply_to: 3, .. }, Action::Finish { rooms }] if *rooms == [room("r")]));
    assert_eq!(talk.drain(), []);
}

#[test]
fn a_drain_after_a_half_close_ends_unavailable_with_everything_answered() {
    let mut talk = Talk::open();
    talk.say(2, post());
    talk.close();
    assert_eq!(talk.drain(), [Action::Farewell { reason: Leaving::Shutdown }]);
    assert_eq!(talk.appended(2, stored(1))[1..], [Action::End(End::Left)]);
}

#[test]
fn closing_before_hello_is_no_error() {
    assert_eq!(Talk::new().close(), [Action::End(End::Completed)]);
}

#[test]
fn late_looks_are_answered_and_only_the_latest_join_is_seated() {
    type Step = fn(&mut Talk) -> Vec<Action>;
    let look: [Step; 2] = [|talk| talk.looked(2, Ok(Look::default())), |talk| talk.looked(4, Ok(Look::default()))];
    for order in [[0, 1], [1, 0]] {
        let mut talk = Talk::open();
        talk.say(2, join("r"));
        assert_eq!(talk.say(3, leave("r"))[0], Action::Leave { room: room("r") });
        talk.say(4, join("r"));
        for which in order {
            let actions = look[which](&mut talk);
            match which {
                0 => assert_eq!(refused(&actions), (2, &Refusal::JoinOvertaken { room: room("r") })),
                _ => assert!(matches!(actions[..], [Action::Seat { reply_to: 4, .. }]), "{actions:?}"),
            }
        }
        assert_eq!(talk.protocol.in_flight, 0);
    }
}

#[test]
fn a_look_after_the_room_was_left_seats_nobody() {
    let mut talk = Talk::open();
    talk.say(2, join("r"));
    talk.say(3, leave("r"));
    assert_eq!(refused(&talk.looked(2, Ok(Look::default()))), (2, &Refusal::JoinOvertaken { room: room("r") }));
    assert_eq!(refused(&talk.say(4, leave("r"))), (4, &Refusal::NotJoined { room: room("r") }));
}

#[test]
fn a_join_that_fails_changes_nothing() {
    let mut talk = Talk::open();
    talk.say(2, join("r"));
    assert_eq!(refused(&talk.looked(2, Err(ReadError::Unavailable))), (2, &Refusal::HistoryUnavailable));
    assert_eq!(refused(&talk.say(3, leave("r"))), (3, &Refusal::NotJoined { room: room("r") }));
    talk.say(4, join("r"));
    talk.looked(4, Ok(Look::default()));
    talk.say(5, join("r"));
    assert_eq!(refused(&talk.looked(5, Err(ReadError::Unavailable))), (5, &Refusal::HistoryUnavailable));
    assert_eq!(talk.say(6, leave("r"))[0], Action::Leave { room: room("r") }, "the first join still holds");
}

#[test]
fn limits_count_what_is_joined_and_what_is_in_flight() {
    let mut talk = Talk::open();
    for (id, name) in [(2, "a"), (3, "b")] {
        talk.say(id, join(name));
    }
    assert_eq!(refused(&talk.say(4, join("c"))), (4, &Refusal::TooManyRooms));
    assert!(matches!(talk.say(5, join("a"))[..], [Action::Look { id: 5, .. }]));
    talk.say(6, post());
    for (id, request) in [(7, post()), (8, join("a")), (9, Request::MarkRead { room: room("r"), seq: 1 })] {
        assert_eq!(refused(&talk.say(id, request)), (id, &Refusal::TooManyInFlight));
    }
    talk.appended(6, stored(1));
    assert!(matches!(talk.say(10, post())[..], [Action::Append { id: 10, .. }]));
}

#[test]
fn ids_rise_and_what_is_wrong_with_a_frame_comes_first() {
    let bad = Refusal::Field { name: "room", why: Invalid("is bad") };
    for (id, request, why) in [
        (1, Ok(Request::Ping), Refusal::IdNotRising),
        (0, Ok(post()), Refusal::IdNotRising),
        (0, Ok(join("r")), Refusal::IdNotRising),
        (0, Err(Refusal::Undecodable), Refusal::Undecodable),
        (0, Err(Refusal::UnknownBody), Refusal::UnknownBody),
        (1, Err(bad.clone()), Refusal::IdNotRising),
        (2, Err(bad.clone()), bad.clone()),
    ] {
        assert_eq!(refused(&Talk::open().hear(id, request)), (id, &why));
    }
}

#[test]
fn before_hello_only_hello_will_do() {
    let bad = Refusal::Field { name: "user", why: Invalid("is bad") };
    for (id, request, why) in [
        (1, Ok(Request::Ping), Refusal::HelloFirst),
        (0, Ok(Request::Ping), Refusal::HelloFirst),
        (0, Ok(hello()), Refusal::IdNotRising),
        (1, Err(bad.clone()), bad.clone()),
    ] {
        assert_eq!(Talk::new().hear(id, request), [Action::End(End::Refused(why))]);
    }
}

#[test]
fn after_the_end_late_answers_do_nothing() {
    let mut talk = Talk::open();
    talk.say(2, post());
    talk.say(3, join("r"));
    talk.protocol.end(End::RepliesUnread, &mut talk.actions);
    assert_eq!(std::mem::take(&mut talk.actions), [Action::End(End::RepliesUnread)]);
    assert_eq!(talk.appended(2, stored(1)), []);
    assert_eq!(talk.looked(3, Ok(Look::default())), []);
    assert_eq!(talk.close(), []);
    assert_eq!(talk.drain(), []);
}

#[test]
fn verdicts() {
    let after = |epoch, seq| Start::After { epoch, seq };
    let whole = Look { head: 10, oldest: 1, read: 0 };
    let trimmed = Look { head: 10, oldest: 5, read: 0 };
    let empty = Look::default();
    for (start, look, expected) in [
        (Start::Last(0), whole, (Verdict::Live, 10)),
        (Start::Last(3), whole, (Verdict::Live, 7)),
        (Start::Last(99), whole, (Verdict::Live, 0)),
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
        (after(0, 0), whole, (Verdict::Recovered, 0)),
        (after(0, 0), empty, (Verdict::Recovered, 0)),
        (after(0, 0), trimmed, (Verdict::ResetExpired, 10)),
    ] {
        assert_eq!(verdict(start, EPOCH, look), expected, "{start:?} {look:?}");
    }
}

/// What can happen to a session.
#[derive(Clone, Debug)]
enum Input {
    /// A frame with the next id.
    Say(Asked),
    /// A hint without an id, or a frame that needs one and has none, or a used one.
    Odd(u64, Asked),
    /// The so-manyth of what is in flight is answered.
    Answer(usize, bool),
    /// Time passes, in tenths of a heartbeat.
    Pass(u32),
    /// Time passes to the deadline and there is a tick.
    Due(bool),
    /// A tick for no reason.
    Tick(bool),
    Drain,
    Close,
    Unread,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
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

impl Asked {
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
            20 => Asked::any().prop_map(Self::Say),
            3 => (0..3u64, Asked::any()).prop_map(|(id, asked)| Self::Odd(id, asked)),
            15 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(nth, good)| Self::Answer(nth, good)),
            5 => (0..30u32).prop_map(Self::Pass),
            5 => any::<bool>().prop_map(Self::Due),
            2 => any::<bool>().prop_map(Self::Tick),
            1 => Just(Self::Drain),
            1 => Just(Self::Close),
            1 => Just(Self::Unread),
        ]
    }
}

/// What a client and the session's task know of a conversation.
#[derive(Default)]
struct Ledger {
    /// In flight: the Append, Look or Mark.
    working: Vec<Action>,
    /// Replies due, less replies given, for each id.
    owed: HashMap<u64, i64>,
    /// The latest Join that was begun, in each room that was not left since.
    joining: HashMap<RoomId, u64>,
    over: Option<Action>,
}

impl Ledger {
    fn take(&mut self, actions: &mut Vec<Action>) {
        for action in actions.drain(..) {
            assert!(self.over.is_none(), "{action:?} after {:?}", self.over);
            match &action {
                Action::Welcome { reply_to, .. } | Action::Say { reply_to, .. } => self.replied(*reply_to),
                Action::Seat { reply_to, joined } => {
                    self.replied(*reply_to);
                    assert_eq!(self.joining.get(&joined.room), Some(reply_to), "only the latest join is seated");
                }
                Action::Look { id, room } => {
                    self.joining.insert(room.clone(), *id);
                    self.working.push(action);
                }
                Action::Append { .. } | Action::Mark { .. } => self.working.push(action),
                Action::Leave { room } => {
                    self.joining.remove(room);
                }
                Action::Typing { .. } | Action::Farewell { .. } => {}
                Action::Finish { .. } | Action::End(End::Left | End::Completed) => {
                    assert!(self.working.is_empty());
                    assert!(self.owed.values().all(|owed| *owed == 0), "{:?}", self.owed);
                    self.over = Some(action);
                }
                Action::End(_) => self.over = Some(action),
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

fn converse(inputs: Vec<Input>) {
    let mut talk = Talk::new();
    let mut ledger = Ledger::default();
    let (mut next_id, mut closed) = (0, false);
    for input in inputs {
        match input {
            Input::Say(_) | Input::Odd(..) if closed => continue,
            Input::Say(asked) => {
                next_id += 1;
                let request = if next_id == 1 { Ok(hello()) } else { asked.request() };
                if ledger.over.is_none() {
                    ledger.owed.insert(next_id, 1);
                }
                talk.protocol.frame(Inbound { id: next_id, request }, talk.now, &mut talk.actions);
            }
            Input::Odd(id, asked) => {
                let request = asked.request();
                // With a used id, it is told that; to id 0 nobody needs to reply.
                if id > 0 && id <= next_id && ledger.over.is_none() {
                    *ledger.owed.entry(id).or_default() += 1;
                } else if id > next_id {
                    continue;
                }
                talk.protocol.frame(Inbound { id, request }, talk.now, &mut talk.actions);
            }
            Input::Answer(nth, good) => {
                if ledger.working.is_empty() {
                    continue;
                }
                let work = ledger.working.swap_remove(nth % ledger.working.len());
                let actions = &mut talk.actions;
                match work {
                    Action::Append { id, draft } => {
                        let answer = if good { stored(1) } else { Err(AppendError::Unknown) };
                        talk.protocol.appended(id, draft.room, draft.client_msg_id, answer, actions);
                    }
                    Action::Look { id, room } => {
                        let answer = if good { Ok(Look::default()) } else { Err(ReadError::Unavailable) };
                        talk.protocol.looked(id, room, answer, actions);
                    }
                    Action::Mark { id, room, seq } => {
                        let answer = if good { Ok(seq) } else { Err(AppendError::NoSuchMessage) };
                        talk.protocol.marked(id, &room, answer, actions);
                    }
                    other => unreachable!("{other:?}"),
                }
            }
            Input::Pass(tenths) => talk.now += HEARTBEAT / 10 * tenths,
            Input::Due(blocked) => {
                let Some(due) = talk.protocol.deadline() else { continue };
                talk.now = talk.now.max(due);
                talk.protocol.tick(talk.now, blocked, &mut talk.actions);
                let next = talk.protocol.deadline();
                assert!(next.is_none_or(|next| next > talk.now), "the timer would spin");
            }
            Input::Tick(blocked) => talk.protocol.tick(talk.now, blocked, &mut talk.actions),
            Input::Drain => talk.protocol.drain(&mut talk.actions),
            Input::Close => {
                if !std::mem::replace(&mut closed, true) {
                    talk.protocol.half_closed(&mut talk.actions);
                }
            }
            Input::Unread => talk.protocol.end(End::RepliesUnread, &mut talk.actions),
        }
        ledger.take(&mut talk.actions);
        assert_eq!(talk.protocol.in_flight, ledger.working.len());
        assert!(ledger.working.len() <= IN_FLIGHT);
        assert!(talk.protocol.rooms.len() <= ROOMS);
        if ledger.over.is_some() {
            assert_eq!(talk.protocol.deadline(), None);
        }
    }
    // Whatever happened: answered to the end, a session that is closed or drained ends.
    talk.protocol.half_closed(&mut talk.actions);
    ledger.take(&mut talk.actions);
    while let Some(work) = ledger.working.pop() {
        match work {
            Action::Append { id, draft } => {
                talk.protocol.appended(id, draft.room, draft.client_msg_id, stored(1), &mut talk.actions);
            }
            Action::Look { id, room } => talk.protocol.looked(id, room, Ok(Look::default()), &mut talk.actions),
            Action::Mark { id, room, seq } => talk.protocol.marked(id, &room, Ok(seq), &mut talk.actions),
            other => unreachable!("{other:?}"),
        }
        ledger.take(&mut talk.actions);
    }
    assert!(ledger.over.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_happens_every_frame_is_replied_to_once_and_the_end_is_the_end(
        inputs in prop::collection::vec(Input::any(), 0..120),
    ) {
        converse(inputs);
    }
}
