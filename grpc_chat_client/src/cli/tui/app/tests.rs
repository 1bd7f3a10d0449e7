//! What keys do and what is then to be done.

use std::time::SystemTime;

use grpc_chat_client::{Body, Code, Event, Joined, MsgId, Refused, ResetReason, Verdict};
use ratatui::crossterm::event::{MouseButton, MouseEvent};

use super::super::notices::STAYS;
use super::*;
use crate::tui::messages;

struct Desk {
    app: App,
    now: Instant,
}

impl Desk {
    /// A user in a room, online, with nothing said yet.
    fn new(rooms: &[&str]) -> Self {
        let rooms: Vec<String> = rooms.iter().map(|&room| room.to_owned()).collect();
        let (size, now) = (Size { width: 80, height: 24 }, Instant::now());
        let mut desk = Self { app: App::new("sam", &rooms, TimeZone::UTC, Theme::new(false), size, now), now };
        assert_eq!(desk.app.effects(), rooms.iter().map(|room| Effect::Join(room.clone())).collect::<Vec<_>>());
        desk.tell(Update::Connection(ConnectionState::Online { user: "sam".to_owned(), max_text_bytes: 100 }));
        for room in &rooms {
            desk.joins(room, Verdict::Live, 0, 0);
        }
        desk.app.effects();
        desk
    }

    fn tell(&mut self, update: Update) {
        self.app.update(update, self.now);
        self.app.settle();
    }

    fn joins(&mut self, room: &str, verdict: Verdict, start: Seq, read: Seq) {
        let head = start;
        let joined = Joined { room: room.parse().unwrap(), verdict, epoch: 1, start, head, oldest: 1, read };
        self.tell(Update::Joined(joined));
        self.tell(Update::CaughtUp { room: room.parse().unwrap(), seq: head });
    }

    fn event(seq: Seq, sender: &str, body: Body) -> Event {
        let (room, time) = ("general".parse().unwrap(), SystemTime::UNIX_EPOCH);
        Event {
            room,
            seq,
            prev_seq: seq - 1,
            time,
            sender: sender.to_owned(),
            device: String::new(),
            id: MsgId([0; 16]),
            body,
        }
    }

    fn happens(&mut self, seq: Seq, sender: &str, body: Body) {
        self.tell(Update::Event(Self::event(seq, sender, body)));
    }

    fn says(&mut self, seq: Seq, sender: &str, text: &str) {
        self.happens(seq, sender, posted(text));
    }

    fn press(&mut self, code: KeyCode) {
        self.press_with(code, KeyModifiers::NONE);
    }

    fn control(&mut self, key: char) {
        self.press_with(KeyCode::Char(key), KeyModifiers::CONTROL);
    }

    fn press_with(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        self.does(Input::Key(KeyEvent::new(code, modifiers)));
    }

    fn does(&mut self, input: Input) {
        self.app.input(input, self.now);
        self.app.settle();
    }

    fn types(&mut self, text: &str) {
        text.chars().for_each(|c| self.press(KeyCode::Char(c)));
    }

    fn enters(&mut self, text: &str) {
        self.types(text);
        self.press(KeyCode::Enter);
    }

    /// The changes that are to be posted, and nothing of the rest.
    fn posted(&mut self) -> Vec<Change> {
        let change = |effect| if let Effect::Post(draft) = effect { Some(draft.change) } else { None };
        self.app.effects().into_iter().filter_map(change).collect()
    }

    fn notice(&self) -> &str {
        self.app.notices.shown().map_or("", |notice| &notice.text)
    }

    /// What is said next, if there is more than that.
    fn next_notice(&mut self) -> &str {
        self.now += STAYS;
        self.app.tick(self.now);
        self.notice()
    }

    fn room(&self) -> &Room {
        self.app.room().unwrap()
    }
}

fn mouse(kind: MouseEventKind, column: u16, row: u16) -> Input {
    Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
}

fn posted(text: &str) -> Body {
    Body::Posted { text: text.to_owned(), reply_to: None, erased: false }
}

#[test]
fn what_is_on_its_way_to_a_message_is_what_the_user_goes_on_from() {
    let mut desk = Desk::new(&["general"]);
    desk.says(1, "sam", "first");
    desk.enters("/edit better");
    desk.enters("/edit");
    assert_eq!((desk.app.editor.text(), desk.app.mode), ("better", Mode::Edit(1)));
    desk.press(KeyCode::Esc);
    desk.enters("/delete");
    assert_eq!(desk.posted().len(), 2);
    desk.enters("/delete");
    assert_eq!(desk.posted(), [], "once is enough");
    desk.press_with(KeyCode::Up, KeyModifiers::ALT);
    desk.press(KeyCode::Char('e'));
    assert!(desk.notice().contains("about to be deleted"), "{}", desk.notice());
}

#[test]
fn leaving_says_what_would_be_lost_once() {
    let mut desk = Desk::new(&["general", "other"]);
    desk.types("half a thought");
    desk.control('n');
    desk.app.effects();
    desk.control('d');
    assert!(desk.notice().contains("what you are writing in general is lost"), "{}", desk.notice());
    assert!(!desk.app.effects().contains(&Effect::Quit));
    desk.control('d');
    assert!(desk.app.effects().contains(&Effect::Quit));
}

#[test]
fn that_a_key_quits_is_not_said_any_longer_than_it_does() {
    let mut desk = Desk::new(&["general"]);
    desk.control('c');
    assert!(desk.notice().contains("again to quit"));
    desk.now = desk.app.deadline().unwrap();
    desk.app.tick(desk.now);
    assert_eq!(desk.app.notices.shown(), None);
}

#[test]
fn home_goes_to_where_new_messages_begin() {
    let mut desk = Desk::new(&["other", "general"]);
    for seq in 1..=5 {
        desk.says(seq, "sam", "mine");
    }
    desk.tell(Update::Read { room: "general".parse().unwrap(), seq: 5 });
    for seq in 6..=100 {
        desk.says(seq, "ann", "while nobody looked");
    }
    desk.control('n');
    let room = |desk: &Desk| (desk.app.rooms[1].new_above, desk.app.rooms[1].anchor.is_some());
    assert_eq!(room(&desk), (true, false));
    desk.press(KeyCode::Home);
    assert_eq!(room(&desk), (false, true));
    let height = desk.app.areas().messages.height.into();
    let shown = desk.app.with_room(|room, look| {
        messages::visible(&room.transcript, room.anchor.unwrap(), height, look).first().map(|(seq, _)| *seq)
    });
    assert_eq!(shown, Some(Some(6)));
    desk.press(KeyCode::End);
    assert_eq!(room(&desk), (false, false), "it was seen");

    // While the user was elsewhere, with the terminal on the screen or not.
    desk.does(Input::FocusLost);
    desk.says(101, "ann", "Hi");
    for seq in 102..=200 {
        desk.says(seq, "ann", "are you there?");
    }
    desk.does(Input::FocusGained);
    assert_eq!(room(&desk), (true, false));
    desk.does(Input::FocusLost);
    desk.does(Input::FocusGained);
    assert_eq!(room(&desk), (false, false), "nothing has come");

    // Few enough to be seen at once.
    let mut desk = Desk::new(&["other", "general"]);
    desk.says(1, "ann", "Hi");
    desk.control('n');
    assert_eq!(desk.app.rooms[1].new_after, Some(0));
    assert!(!desk.app.rooms[1].new_above);
}

#[test]
fn one_history_that_begins_anew_is_told_of_once() {
    let mut desk = Desk::new(&["general", "other", "third"]);
    for room in ["other", "third", "general"] {
        desk.joins(room, Verdict::Reset(ResetReason::Epoch), 3, 0);
    }
    assert!(desk.notice().contains("other: "), "{}", desk.notice());
    desk.now += Duration::from_secs(5);
    desk.app.tick(desk.now);
    desk.press(KeyCode::Left);
    assert_eq!(desk.app.notices.shown(), None);
}

#[test]
fn the_last_message_is_not_the_one_before_it_while_it_is_unsent() {
    let mut desk = Desk::new(&["general"]);
    desk.says(1, "sam", "first");
    desk.enters("second");
    desk.app.effects();
    for command in ["/delete", "/edit", "/edit other"] {
        desk.enters(command);
        assert!(desk.notice().contains("not sent yet"), "{}", desk.notice());
        assert_eq!((desk.app.effects(), desk.app.mode), (Vec::new(), Mode::Say));
    }
    // One that is selected is meant.
    desk.press_with(KeyCode::Up, KeyModifiers::ALT);
    desk.press(KeyCode::Char('e'));
    assert_eq!(desk.app.mode, Mode::Edit(1));
}

#[test]
fn what_an_earlier_run_left_is_shown_until_it_is_sent() {
    let mut desk = Desk::new(&["general"]);
    let draft = Draft::new("general".parse::<RoomId>().unwrap(), Change::post("left behind"));
    desk.tell(Update::Restored(draft.clone()));
    assert_eq!(desk.app.rooms[0].unsent.len(), 1);
    // It is stored, and was told to the earlier run.
    let other = Draft::new("general".parse::<RoomId>().unwrap(), Change::post("seen before"));
    desk.tell(Update::Restored(other));
    desk.tell(Update::Unsent(0));
    assert!(desk.app.rooms[0].unsent.is_empty());
    desk.tell(Update::Restored(draft.clone()));
    desk.tell(Update::Event(Event { id: draft.id, ..Desk::event(1, "sam", posted("left behind")) }));
    assert!(desk.app.rooms[0].unsent.is_empty());
}

#[test]
fn enter_says_what_was_written_and_it_is_there_until_it_comes_back() {
    let mut desk = Desk::new(&["general"]);
    desk.types("Hi");
    desk.control('j');
    desk.types("there");
    desk.press_with(KeyCode::Enter, KeyModifiers::ALT);
    desk.enters("all");
    let effects = desk.app.effects();
    assert!(effects.contains(&Effect::Typing("general".to_owned())), "the others know");
    let [Effect::Post(draft)] = &effects.iter().filter(|it| matches!(it, Effect::Post(_))).collect::<Vec<_>>()[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(draft.change, Change::post("Hi\nthere\nall"));
    assert!(desk.app.editor.is_empty());
    assert_eq!(desk.room().unsent.first(), Some(draft));
    let mut event = Desk::event(1, "sam", posted("Hi\nthere\nall"));
    event.id = draft.id;
    desk.tell(Update::Event(event));
    assert_eq!((desk.room().unsent.len(), desk.room().transcript.len(), desk.room().unread), (0, 1, 0));

    desk.enters("   ");
    assert_eq!(desk.posted(), [], "nothing is said with nothing");
}

#[test]
fn a_text_that_is_too_long_stays_where_it_is() {
    let mut desk = Desk::new(&["general"]);
    let text = "line\r".repeat(10_000);
    desk.does(Input::Paste(text));
    desk.press(KeyCode::Enter);
    assert_eq!(desk.posted(), []);
    assert!(desk.notice().contains("too long by 49900 bytes"), "{}", desk.notice());
    assert_eq!(desk.app.editor.text().len(), 50_000);
    desk.control('c');
    assert!(desk.app.editor.is_empty());
    for _ in 0..3 {
        desk.control('c');
        assert_eq!((desk.app.effects().contains(&Effect::Quit), desk.notice()), (false, "Ctrl+C again to quit"));
        desk.now += TWICE;
    }
    desk.control('c');
    desk.control('c');
    assert!(desk.app.effects().contains(&Effect::Quit));
}

#[test]
fn what_is_refused_is_said_and_the_text_can_be_got_back() {
    let mut desk = Desk::new(&["general"]);
    desk.enters("Hi");
    let draft = desk.room().unsent[0].clone();
    let why = Refused::new(Code::InvalidArgument, "no".to_owned());
    desk.tell(Update::Refused { draft, why });
    assert!(desk.notice().starts_with("not sent: no"), "{}", desk.notice());
    assert!(desk.room().unsent.is_empty());
    desk.press(KeyCode::Up);
    assert_eq!(desk.app.editor.text(), "Hi");
}

#[test]
fn commands_are_carried_out_and_not_said() {
    let mut desk = Desk::new(&["general"]);
    desk.says(1, "sam", "mine");
    desk.says(2, "ann", "hers");
    desk.enters("/edit better");
    desk.enters("/react 👍");
    desk.enters("/delete");
    desk.enters("/reply indeed");
    let reaction = "👍".to_owned();
    assert_eq!(
        desk.posted(),
        [
            Change::Edit { seq: 1, text: "better".to_owned() },
            Change::React { seq: 2, reaction: reaction.clone(), remove: false },
            Change::Delete { seq: 1 },
            Change::Post { text: "indeed".to_owned(), reply_to: Some(2) },
        ]
    );
    desk.happens(3, "sam", Body::Reacted { seq: 2, reaction: reaction.clone(), removed: false });
    desk.enters("/react 👍");
    assert_eq!(desk.posted(), [Change::React { seq: 2, reaction, remove: true }]);
    desk.enters("/jion x");
    assert!(desk.notice().contains("there is no /jion"), "{}", desk.notice());
    assert_eq!(desk.app.editor.text(), "/jion x", "it can be put right");
    desk.control('c');
    desk.enters("//join is a command");
    assert_eq!(desk.posted(), [Change::post("/join is a command")]);
    desk.enters("/quit");
    assert!(desk.app.effects().contains(&Effect::Quit));
}

#[test]
fn an_edit_begins_with_the_old_text_and_can_be_given_up() {
    let mut desk = Desk::new(&["general"]);
    desk.says(1, "sam", "mine");
    desk.enters("/edit");
    assert_eq!(desk.app.editor.text(), "mine");
    desk.press(KeyCode::Esc);
    assert!(desk.app.editor.is_empty());
    desk.enters("/edit");
    desk.enters("!");
    assert_eq!(desk.posted(), [Change::Edit { seq: 1, text: "mine!".to_owned() }]);
    desk.enters("new");
    assert_eq!(desk.posted(), [Change::post("new")]);
}

#[test]
fn a_message_is_selected_and_acted_on_with_one_key() {
    let mut desk = Desk::new(&["general"]);
    for (seq, sender) in [(1, "ann"), (2, "sam"), (3, "ann")] {
        desk.says(seq, sender, "x");
    }
    let up = |desk: &mut Desk| desk.press_with(KeyCode::Up, KeyModifiers::CONTROL);
    up(&mut desk);
    assert_eq!(desk.room().selected, Some(3));
    for key in ['e', 'd'] {
        desk.press(KeyCode::Char(key));
        assert_eq!(desk.notice(), "that message is not yours");
    }
    desk.press(KeyCode::Up);
    desk.press(KeyCode::Char('d'));
    assert_eq!((desk.posted(), desk.app.erasing), (vec![], Some(2)), "it is asked first");
    desk.press(KeyCode::Up);
    assert_eq!((desk.room().selected, desk.app.erasing), (Some(1), None), "another key keeps it");
    desk.press(KeyCode::Down);
    desk.press(KeyCode::Char('d'));
    desk.press(KeyCode::Char('d'));
    assert_eq!(desk.room().selected, None);
    (0..3).for_each(|_| up(&mut desk));
    desk.press(KeyCode::Char('r'));
    desk.enters("to the first");
    assert_eq!(
        desk.posted(),
        [Change::Delete { seq: 2 }, Change::Post { text: "to the first".to_owned(), reply_to: Some(1) }]
    );
    assert_eq!(desk.room().selected, None);
    up(&mut desk);
    desk.press(KeyCode::Down);
    assert_eq!(desk.room().selected, None, "below the newest there is none");
    up(&mut desk);
    desk.press(KeyCode::Char('+'));
    desk.enters("🎉");
    assert_eq!(desk.posted(), [Change::React { seq: 3, reaction: "🎉".to_owned(), remove: false }]);
}

#[test]
fn tab_goes_through_what_fits() {
    let mut desk = Desk::new(&["general"]);
    let users = ["ann", "anton", "sam"].map(str::to_owned).to_vec();
    desk.tell(Update::Present { room: "general".parse().unwrap(), users, count: 3 });
    desk.types("@a");
    desk.press(KeyCode::Tab);
    assert_eq!(desk.app.editor.text(), "@ann, ");
    desk.press(KeyCode::Tab);
    assert_eq!(desk.app.editor.text(), "@anton, ");
    desk.press(KeyCode::Tab);
    assert_eq!(desk.app.editor.text(), "@ann, ");
    desk.press_with(KeyCode::BackTab, KeyModifiers::SHIFT);
    assert_eq!(desk.app.editor.text(), "@anton, ");
    desk.types("hi");
    desk.press(KeyCode::Tab);
    assert_eq!(desk.app.editor.text(), "@anton, hi", "there is nothing to complete");
}

#[test]
fn rooms_are_joined_switched_and_left() {
    let mut desk = Desk::new(&["general"]);
    desk.app.listed(vec!["general".to_owned(), "lobby".to_owned()]);
    assert_eq!(desk.app.others, ["lobby"]);
    desk.enters("/join random");
    assert!(desk.app.effects().contains(&Effect::Join("random".to_owned())));
    assert_eq!(desk.room().name, "random");
    desk.joins("random", Verdict::Live, 0, 0);
    desk.control('n');
    assert_eq!(desk.room().name, "general");
    desk.control('p');
    assert_eq!(desk.room().name, "random");
    desk.press_with(KeyCode::Char('1'), KeyModifiers::ALT);
    assert_eq!(desk.room().name, "general");
    desk.enters("/leave random");
    assert!(desk.app.effects().contains(&Effect::Leave("random".to_owned())));
    assert_eq!(desk.app.others, ["lobby", "random"]);
    desk.enters("/leave");
    assert!(desk.notice().contains("the only room"), "{}", desk.notice());
    // A click on the second of the others.
    desk.does(mouse(MouseEventKind::Down(MouseButton::Left), 3, 1 + 1 + 1 + 1));
    assert_eq!(desk.room().name, "random");

    let why = Refused::new(Code::PermissionDenied, "members only".to_owned());
    desk.tell(Update::JoinRefused { room: "random".parse().unwrap(), why });
    assert_eq!(desk.room().name, "general");
    assert!(desk.next_notice().contains("members only"), "{}", desk.notice());
}

#[test]
fn scrolling_up_reads_older_pages_and_stays_where_it_is() {
    let mut desk = Desk::new(&["general"]);
    desk.joins("general", Verdict::Reset(ResetReason::Epoch), 1_000, 0);
    // There is nothing on the screen: the newest page is wanted at once.
    let effects = desk.app.effects();
    assert_eq!(effects, [Effect::Page { room: "general".parse().unwrap(), wanted: Wanted::Older(1_001) }]);
    let page = |from: Seq, upto: Seq| -> Result<Page, String> {
        let events = (from..=upto).map(|seq| Desk::event(seq, "ann", posted(&format!("message {seq}")))).collect();
        Ok(Page { events, epoch: 1, head: 1_000, more: from > 1 })
    };
    desk.app.page("general", Wanted::Older(1_001), page(701, 1_000));
    desk.app.settle();
    let mut asked = Vec::new();
    for _ in 0..60 {
        desk.press(KeyCode::PageUp);
        for effect in desk.app.effects() {
            if let Effect::Page { wanted: Wanted::Older(before), .. } = effect {
                asked.push(before);
                let seen = desk.room().anchor;
                desk.app.page("general", Wanted::Older(before), page(before.saturating_sub(300).max(1), before - 1));
                assert_eq!(desk.room().anchor, seen, "a page does not move what is read");
            }
        }
        // What comes meanwhile does not either.
        let seen = desk.room().anchor;
        let newest = desk.room().transcript.newest().unwrap().seq;
        desk.says(newest + 1, "ann", "new");
        assert_eq!(desk.room().anchor, seen);
    }
    assert_eq!(asked, [701, 401, 101]);
    assert_eq!(desk.room().transcript.oldest().map(|oldest| oldest.seq), Some(1));
    let height = desk.app.areas().messages.height.into();
    let top = desk.app.with_room(|room, look| {
        super::super::messages::visible(&room.transcript, room.anchor.unwrap(), height, look)[0].0
    });
    assert_eq!(top, Some(1), "the first message is at the top");
    desk.press(KeyCode::End);
    assert_eq!(desk.room().anchor, None);
    desk.press(KeyCode::PageUp);
    assert!(desk.room().anchor.is_some());
    desk.press(KeyCode::PageDown);
    assert_eq!(desk.room().anchor, None, "back at the end it follows again");
}

#[test]
fn a_page_that_cannot_be_read_is_said_and_tried_again() {
    let mut desk = Desk::new(&["general"]);
    desk.joins("general", Verdict::Reset(ResetReason::Epoch), 10, 0);
    let wanted = Wanted::Older(11);
    let page = Effect::Page { room: "general".parse().unwrap(), wanted };
    assert_eq!(desk.app.effects().first(), Some(&page));
    desk.app.page("general", wanted, Err("the disk is full".to_owned()));
    assert!(desk.next_notice().contains("the disk is full"));
    desk.app.settle();
    assert_eq!(desk.app.effects(), [], "not at once");
    desk.press(KeyCode::PageUp);
    assert_eq!(desk.app.effects(), [page]);
}

#[test]
fn what_is_seen_is_marked_as_read_but_not_all_the_time() {
    let mut desk = Desk::new(&["general"]);
    let marks = |desk: &mut Desk| -> Vec<Seq> {
        let seq = |effect| if let Effect::Mark { seq, .. } = effect { Some(seq) } else { None };
        desk.app.effects().into_iter().filter_map(seq).collect()
    };
    desk.says(1, "ann", "one");
    assert_eq!(marks(&mut desk), [1]);
    desk.says(2, "ann", "two");
    desk.says(3, "ann", "three");
    assert_eq!(marks(&mut desk), Vec::<Seq>::new());
    let due = desk.app.deadline().unwrap();
    desk.now = due;
    desk.app.tick(due);
    assert_eq!(marks(&mut desk), [3]);
    assert_eq!(desk.app.deadline(), None);

    desk.now += MARK;
    desk.does(Input::FocusLost);
    desk.says(4, "ann", "four");
    assert_eq!(marks(&mut desk), Vec::<Seq>::new(), "nobody looks");
    desk.does(Input::FocusGained);
    assert_eq!(marks(&mut desk), [4]);

    desk.now += MARK;
    for seq in 5..40 {
        desk.says(seq, "ann", "more");
    }
    marks(&mut desk);
    desk.now += MARK;
    desk.press(KeyCode::PageUp);
    assert_eq!(marks(&mut desk), [39]);
    desk.now += MARK;
    desk.says(40, "ann", "below what is seen");
    assert_eq!(marks(&mut desk), Vec::<Seq>::new());

    // Whoever scrolls back, or leaves the room or the chat, has seen what was there.
    desk.press(KeyCode::End);
    assert_eq!(marks(&mut desk), [40]);
    desk.says(41, "ann", "one more");
    desk.enters("/join other");
    assert_eq!(marks(&mut desk), [41]);
    assert_eq!(desk.app.rooms[0].unread, 0);
    desk.control('n');
    desk.says(42, "ann", "and another");
    desk.press(KeyCode::PageUp);
    assert_eq!(marks(&mut desk), [42]);
}

#[test]
fn unread_is_what_others_said_and_goes_when_it_is_read_elsewhere() {
    let mut desk = Desk::new(&["other", "general"]);
    desk.says(1, "ann", "one");
    desk.says(2, "sam", "from another device");
    desk.says(3, "ann", "hello @sam!");
    desk.says(4, "ann", "and @samantha");
    let general = |desk: &Desk| (desk.app.rooms[1].unread, desk.app.rooms[1].mentioned);
    assert_eq!(general(&desk), (3, true));
    desk.tell(Update::Read { room: "general".parse().unwrap(), seq: 3 });
    assert_eq!(general(&desk), (1, false));
    desk.control('n');
    assert_eq!(desk.room().new_after, Some(3));
}

#[test]
fn the_connection_is_always_told_and_counts_down() {
    let mut desk = Desk::new(&["general"]);
    let retry_in = Duration::from_millis(2_500);
    desk.tell(Update::Connection(ConnectionState::Reconnecting { why: "down".to_owned(), retry_in }));
    let until = desk.now + retry_in;
    let mut ticks = 0;
    while let Some(due) = desk.app.deadline() {
        assert!(due > desk.now && due <= until);
        desk.now = due;
        desk.app.tick(due);
        ticks += 1;
    }
    assert_eq!(ticks, 3);
    let why = Refused::new(Code::PermissionDenied, "you are banned\u{1b}[2J");
    desk.tell(Update::Connection(ConnectionState::Failed(why)));
    assert!(desk.notice().contains("you are banned\u{FFFD}"), "{}", desk.notice());
}

#[test]
fn another_life_of_the_history_is_said_and_read_anew() {
    let mut desk = Desk::new(&["general"]);
    desk.says(1, "ann", "of before");
    desk.enters("unsent");
    desk.app.effects();
    desk.joins("general", Verdict::Reset(ResetReason::Epoch), 7, 0);
    assert!(desk.notice().contains("begun anew"), "{}", desk.notice());
    assert_eq!(desk.room().transcript.len(), 0);
    assert_eq!(desk.app.effects(), [Effect::Page { room: "general".parse().unwrap(), wanted: Wanted::Older(8) }]);
}

#[test]
fn help_is_closed_by_what_closes_it_and_by_going_on() {
    let mut desk = Desk::new(&["general"]);
    desk.types("?");
    assert_eq!(desk.app.overlay, Some((Overlay::Help, 0)));
    desk.press(KeyCode::Esc);
    assert_eq!(desk.app.overlay, None);
    desk.types("?H");
    assert_eq!((desk.app.overlay, desk.app.editor.text()), (None, "H"));
    desk.types("i?");
    assert_eq!(desk.app.editor.text(), "Hi?");
}

#[test]
fn what_was_written_for_a_room_is_not_said_in_another() {
    let why = || Refused::new(Code::PermissionDenied, "members only".to_owned());
    let mut desk = Desk::new(&["secret", "general"]);
    desk.types("for the secret room only");
    desk.tell(Update::JoinRefused { room: "secret".parse().unwrap(), why: why() });
    assert!(desk.notice().contains("Up brings back"), "{}", desk.notice());
    desk.press(KeyCode::Enter);
    assert_eq!(desk.posted(), []);
    desk.press(KeyCode::Up);
    assert_eq!(desk.app.editor.text(), "for the secret room only");

    let mut desk = Desk::new(&["general", "other"]);
    desk.says(4, "sam", "mine");
    desk.enters("/edit");
    desk.tell(Update::JoinRefused { room: "general".parse().unwrap(), why: why() });
    desk.press(KeyCode::Enter);
    assert_eq!((desk.posted(), desk.app.mode), (vec![], Mode::Say));
}

#[test]
fn no_seq_is_too_large() {
    let mut desk = Desk::new(&["general"]);
    desk.tell(Update::Read { room: "general".parse().unwrap(), seq: Seq::MAX });
    desk.joins("general", Verdict::Reset(ResetReason::Epoch), Seq::MAX, 0);
    desk.says(Seq::MAX, "ann", "x");
    desk.press(KeyCode::PageUp);
    desk.press(KeyCode::PageDown);
}

#[test]
fn what_is_deleted_is_neither_answered_nor_reacted_to() {
    let mut desk = Desk::new(&["general"]);
    desk.says(1, "ann", "x");
    desk.happens(2, "ann", Body::Deleted { seq: 1 });
    desk.press_with(KeyCode::Up, KeyModifiers::CONTROL);
    for (key, why) in [('r', NOTHING_TO_ANSWER), ('+', NOTHING_TO_REACT_TO), ('d', "that message is deleted")] {
        desk.press(KeyCode::Char(key));
        assert_eq!((desk.notice(), desk.app.mode), (why, Mode::Say));
    }
}

#[test]
fn what_has_scrolled_away_is_not_selected() {
    let mut desk = Desk::new(&["general"]);
    for seq in 1..100 {
        desk.says(seq, "ann", "x");
    }
    desk.says(100, "sam", "mine");
    desk.press_with(KeyCode::Up, KeyModifiers::ALT);
    assert_eq!(desk.room().selected, Some(100));
    desk.press(KeyCode::PageUp);
    desk.press(KeyCode::PageUp);
    desk.types("did you see it?");
    assert_eq!((desk.posted(), desk.app.editor.text()), (vec![], "did you see it?"));
    desk.control('c');
    // By what others say, too, in between two keys.
    desk.press(KeyCode::End);
    desk.press_with(KeyCode::Up, KeyModifiers::ALT);
    for seq in 101..200 {
        desk.app.update(Update::Event(Desk::event(seq, "ann", posted("x"))), desk.now);
    }
    desk.types("dd");
    assert_eq!((desk.posted(), desk.app.editor.text()), (vec![], "dd"));
}

#[test]
fn a_completion_ends_where_the_text_is_another() {
    let why = Refused::new(Code::PermissionDenied, "members only".to_owned());
    let users = ["ann", "anton"].map(str::to_owned).to_vec();
    let completing = || {
        let mut desk = Desk::new(&["general", "other"]);
        desk.tell(Update::Present { room: "general".parse().unwrap(), users: users.clone(), count: 2 });
        desk.says(1, "ann", "x");
        desk.press_with(KeyCode::Up, KeyModifiers::CONTROL);
        desk.press(KeyCode::Char('r'));
        desk.types("@");
        desk.press(KeyCode::Tab);
        assert!(desk.app.completion.is_some());
        desk
    };
    let mut desk = completing();
    desk.does(mouse(MouseEventKind::Down(MouseButton::Left), 3, 2));
    assert_eq!((desk.room().name.as_str(), desk.app.completion.is_none()), ("other", true));
    desk.press(KeyCode::Tab);
    assert!(desk.app.editor.is_empty());
    let mut desk = completing();
    desk.tell(Update::JoinRefused { room: "general".parse().unwrap(), why });
    desk.press(KeyCode::Tab);
    assert!(desk.app.editor.is_empty());
}

#[test]
fn what_is_being_changed_is_not_there_after_a_reset() {
    for away in [false, true] {
        let mut desk = Desk::new(&["general", "other"]);
        desk.says(3, "sam", "mine");
        desk.enters("/edit");
        if away {
            desk.control('n');
        }
        desk.joins("general", Verdict::Reset(ResetReason::Epoch), 3, 0);
        desk.says(4, "ann", "another's");
        assert!(desk.notice().contains("what you write there is a new message"), "{}", desk.notice());
        if away {
            desk.control('n');
        }
        desk.press(KeyCode::Enter);
        assert_eq!(desk.posted(), [Change::post("mine")]);
    }
    // A life of the history that is not told as one.
    let mut desk = Desk::new(&["general"]);
    desk.says(3, "sam", "mine");
    desk.enters("/edit");
    let verdict = Verdict::Recovered;
    let joined = Joined { room: "general".parse().unwrap(), verdict, epoch: 2, start: 0, head: 0, oldest: 0, read: 0 };
    desk.tell(Update::Joined(joined));
    assert_eq!((desk.app.mode, desk.room().transcript.len()), (Mode::Say, 0));
}

#[test]
fn what_is_written_stays_in_its_room() {
    let mut desk = Desk::new(&["general", "other"]);
    desk.says(1, "ann", "x");
    desk.press_with(KeyCode::Up, KeyModifiers::CONTROL);
    desk.press(KeyCode::Char('r'));
    desk.types("half an ans");
    desk.control('n');
    desk.enters("for the other");
    assert_eq!(desk.posted(), [Change::post("for the other")]);
    desk.types("more");
    desk.control('n');
    assert_eq!((desk.app.editor.text(), desk.app.rooms[1].aside.text()), ("half an ans", "more"));
    desk.enters("wer");
    assert_eq!(desk.posted(), [Change::Post { text: "half an answer".to_owned(), reply_to: Some(1) }]);
    desk.enters("/leave other");
    desk.press(KeyCode::Up);
    assert_eq!(desk.app.editor.text(), "more", "what was written in a room that is left can be got back");
}

#[test]
fn a_terminal_that_is_made_wider_can_still_be_scrolled() {
    let mut desk = Desk::new(&["general"]);
    desk.does(Input::Resize(30, 24));
    for seq in 1..50 {
        desk.says(seq, "ann", &"many words ".repeat(30));
    }
    (0..5).for_each(|_| desk.press(KeyCode::PageUp));
    desk.does(Input::Resize(200, 24));
    let before = desk.room().anchor.unwrap();
    desk.press(KeyCode::PageUp);
    let after = desk.room().anchor.unwrap();
    assert!(after.seq + 2 < before.seq, "{before:?} {after:?}");
}

#[test]
fn what_is_told_from_elsewhere_stays_long_enough_to_be_seen() {
    let mut desk = Desk::new(&["general"]);
    desk.types("Hel");
    desk.tell(Update::SaveFailed("one".to_owned()));
    desk.tell(Update::SaveFailed("two".to_owned()));
    desk.types("lo");
    assert!(desk.notice().ends_with("one"), "a key does not take it away: {}", desk.notice());
    assert_eq!(desk.app.deadline(), Some(desk.now + STAYS));
    assert!(desk.next_notice().ends_with("two"), "each has its time: {}", desk.notice());
}

#[test]
fn a_wrong_command_is_said_on_one_line() {
    let mut desk = Desk::new(&["general"]);
    desk.enters(&format!("/{}", "x".repeat(90)));
    assert!(desk.notice().len() < 80 && desk.notice().contains("//"), "{}", desk.notice());
}

#[test]
fn an_answer_to_this_user_speaks_to_them_and_what_is_deleted_is_not_unread() {
    let mut desk = Desk::new(&["other", "general"]);
    let general = |desk: &Desk| (desk.app.rooms[1].unread, desk.app.rooms[1].mentioned);
    desk.says(1, "sam", "mine");
    desk.happens(2, "ann", Body::Posted { text: "yes".to_owned(), reply_to: Some(1), erased: false });
    desk.says(3, "ann", "oops");
    assert_eq!(general(&desk), (2, true));
    desk.happens(4, "ann", Body::Deleted { seq: 3 });
    assert_eq!(general(&desk), (1, true));
    desk.happens(5, "ann", Body::Edited { seq: 2, text: String::new(), erased: true });
    desk.happens(6, "ann", Body::Deleted { seq: 2 });
    assert_eq!(general(&desk), (0, false), "once");
}

#[test]
fn a_reaction_that_is_on_its_way_is_taken_back_by_the_same_again() {
    let mut desk = Desk::new(&["general"]);
    desk.says(1, "ann", "x");
    (0..3).for_each(|_| desk.enters("/react A"));
    let react = |remove| Change::React { seq: 1, reaction: "A".to_owned(), remove };
    assert_eq!(desk.posted(), [react(false), react(true), react(false)]);
    desk.tell(Update::Unsent(0));
    assert!(desk.room().unsent.is_empty());
}

#[test]
fn an_edit_needs_a_text() {
    let mut desk = Desk::new(&["general"]);
    desk.says(1, "sam", "x");
    desk.enters("/edit");
    desk.press(KeyCode::Backspace);
    desk.press(KeyCode::Enter);
    assert!(desk.notice().contains("needs a text"), "{}", desk.notice());
    assert_eq!((desk.posted(), desk.app.mode), (vec![], Mode::Edit(1)));
}

#[test]
fn the_mouse_is_for_what_lies_over_the_messages() {
    let mut desk = Desk::new(&["general", "other"]);
    (1..100).for_each(|seq| desk.says(seq, "ann", "x"));
    desk.types("?");
    desk.does(mouse(MouseEventKind::ScrollDown, 30, 5));
    desk.does(mouse(MouseEventKind::ScrollUp, 30, 5));
    desk.does(mouse(MouseEventKind::ScrollDown, 30, 5));
    assert_eq!((desk.app.overlay, desk.room().anchor), (Some((Overlay::Help, WHEEL)), None));
    desk.does(mouse(MouseEventKind::Down(MouseButton::Left), 3, 2));
    assert_eq!((desk.app.overlay, desk.room().name.as_str()), (None, "general"));
}

#[test]
fn what_comes_while_nobody_looks_is_new() {
    let mut desk = Desk::new(&["general"]);
    desk.says(1, "ann", "seen");
    desk.does(Input::FocusLost);
    desk.does(Input::FocusGained);
    assert_eq!(desk.room().new_after, None, "nothing came");
    desk.does(Input::FocusLost);
    desk.says(2, "ann", "not seen");
    desk.does(Input::FocusGained);
    assert_eq!(desk.room().new_after, Some(1));
}

#[test]
fn more_rooms_than_there_are_rows_can_be_reached() {
    let names: Vec<String> = (0..50).map(|n| format!("room-{n}")).collect();
    let mut desk = Desk::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let rows = |desk: &mut Desk| desk.app.areas().rooms.height;
    let shown = |desk: &mut Desk| {
        let height = rows(desk);
        view::shown_rooms(&desk.app, height)
    };
    let height = usize::from(rows(&mut desk));
    assert_eq!(shown(&mut desk), view::Shown { from: 0, upto: height - 1, above: false });
    for _ in 0..100 {
        desk.control('p');
        let (current, shown) = (desk.app.current, shown(&mut desk));
        assert!((shown.from..shown.upto).contains(&current), "{current} in {shown:?}");
    }
    desk.press_with(KeyCode::Char('1'), KeyModifiers::ALT);
    desk.does(mouse(MouseEventKind::ScrollDown, 3, 5));
    assert_eq!((shown(&mut desk).from, desk.room().anchor), (WHEEL, None));
    desk.does(mouse(MouseEventKind::Down(MouseButton::Left), 3, 1));
    assert_eq!(desk.app.current, 0, "the first row stands for what is above");
    desk.does(mouse(MouseEventKind::Down(MouseButton::Left), 3, 2));
    assert_eq!(desk.app.current, WHEEL);
    (0..100).for_each(|_| desk.does(mouse(MouseEventKind::ScrollDown, 3, 5)));
    assert_eq!(shown(&mut desk).upto, 50);
    desk.does(mouse(MouseEventKind::ScrollUp, 3, 5));
    assert!(shown(&mut desk).upto < 50);
}

#[test]
fn alt_a_goes_to_what_is_unread_first_to_what_speaks_to_the_user() {
    let mut desk = Desk::new(&["a", "b", "c", "d"]);
    for (room, text) in [("b", "x"), ("c", "@sam"), ("d", "x")] {
        let mut event = Desk::event(1, "ann", posted(text));
        event.room = room.parse().unwrap();
        desk.tell(Update::Event(event));
    }
    let mut visited = Vec::new();
    for _ in 0..4 {
        desk.press_with(KeyCode::Char('a'), KeyModifiers::ALT);
        visited.push(desk.room().name.clone());
        desk.now += MARK;
        desk.app.tick(desk.now);
    }
    assert_eq!(visited, ["c", "d", "b", "b"]);
    assert!(desk.notice().contains("nothing unread"), "{}", desk.notice());
}

#[test]
fn rooms_are_kept_when_they_are_joined_and_left_and_measurements_are_none() {
    let mut desk = Desk::new(&["general"]);
    desk.app.listed(["bench/0a1b", "lobby"].map(str::to_owned).to_vec());
    assert_eq!(desk.app.others, ["lobby"]);
    desk.enters("/join bench/0a1b");
    assert!(desk.app.effects().contains(&Effect::Keep));
    desk.enters("/leave");
    assert!(desk.app.effects().contains(&Effect::Keep));
    desk.enters("/rooms");
    assert_eq!(desk.app.overlay, Some((Overlay::Rooms, 0)));
    assert!(desk.app.effects().contains(&Effect::ListRooms));
    desk.press(KeyCode::Esc);
    desk.types("/join ");
    desk.press(KeyCode::Tab);
    assert!(desk.app.effects().contains(&Effect::ListRooms), "there may be others by now");
}

#[test]
fn whoever_has_said_something_can_be_named() {
    let mut desk = Desk::new(&["general"]);
    desk.says(1, "ann", "x");
    desk.says(2, "ann", "x");
    desk.types("@A");
    desk.press(KeyCode::Tab);
    assert_eq!(desk.app.editor.text(), "@ann, ");
}

#[test]
fn that_somebody_types_is_told_before_the_message_and_anew_after_it() {
    let mut desk = Desk::new(&["general"]);
    desk.enters("one");
    desk.types("two");
    let told = desk.app.effects();
    assert!(matches!(&told[..], [Effect::Typing(_), Effect::Post(_), Effect::Typing(_)]), "{told:?}");
}
