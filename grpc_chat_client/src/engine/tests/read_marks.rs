//! How far the user has read.

use super::*;

#[test]
fn read_marks_move_forward_one_at_a_time() {
    let (mut engine, now) = online();
    for seq in [3, 5, 4] {
        command(&mut engine, Command::MarkRead { room: room("north"), seq });
    }
    let marks = |engine: &mut Engine| -> Vec<(u64, u64)> {
        let mark = |(id, body)| match body {
            client_frame::Body::MarkRead(mark) => (id, mark.seq),
            body => panic!("{body:?}"),
        };
        sent(engine).into_iter().map(mark).collect()
    };
    let [(first, 3)] = marks(&mut engine)[..] else { panic!("the first is sent at once") };
    engine.frame_received(done(first), now);
    let [(_, 5)] = marks(&mut engine)[..] else { panic!("then the highest") };
    engine.session_ended(&Status::unavailable("cut"), now);
    engine.session_opened(&welcome(), now);
    let [(last, 5)] = marks(&mut engine)[..] else { panic!("a mark without a reply is sent again") };
    engine.frame_received(done(last), now);
    command(&mut engine, Command::MarkRead { room: room("north"), seq: 2 });
    assert_eq!(marks(&mut engine), []);
}

#[test]
fn read_marks_are_delivered_forwards_and_a_refused_one_does_not_block_others() {
    let (mut engine, now) = online();
    let _joined = join(&mut engine, "north", Start::Live);
    let [id] = ids(&mut engine);
    engine.frame_received(join_reply(id, EPOCH, 9, pb::Verdict::Live), now);
    let mark = |engine: &mut Engine, seq| command(engine, Command::MarkRead { room: room("north"), seq });
    mark(&mut engine, 3);
    let [id] = ids(&mut engine);
    engine.actions.clear();
    let changed = pb::ReadChanged { room: "north".to_owned(), seq: 5 };
    engine.frame_received(frame(0, server_frame::Body::ReadChanged(changed)), now);
    engine.frame_received(done(id), now);
    assert_eq!(engine.actions, [Action::Deliver(Update::Read { room: room("north"), seq: 5 })]);
    mark(&mut engine, u64::MAX);
    let [id] = ids(&mut engine);
    engine.frame_received(error(id, &Status::not_found("no such message")), now);
    mark(&mut engine, 7);
    assert!(matches!(&sent(&mut engine)[..], [(_, client_frame::Body::MarkRead(mark))] if mark.seq == 7));
}

#[test]
fn a_read_mark_of_another_epoch_does_not_block_new_ones() {
    let (mut engine, now) = online();
    let _joined = join(&mut engine, "north", Start::Live);
    let [id] = ids(&mut engine);
    engine.frame_received(join_reply(id, 1, 500, pb::Verdict::Live), now);
    command(&mut engine, Command::MarkRead { room: room("north"), seq: 500 });
    let [id] = ids(&mut engine);
    engine.frame_received(done(id), now);
    engine.session_ended(&Status::unavailable("cut"), now);
    engine.session_opened(&welcome(), now);
    let [id] = ids(&mut engine);
    engine.frame_received(join_reply(id, 2, 3, pb::Verdict::Reset), now);
    command(&mut engine, Command::MarkRead { room: room("north"), seq: 4 });
    let frames = sent(&mut engine);
    assert!(matches!(&frames[..], [(_, client_frame::Body::MarkRead(mark))] if mark.seq == 4), "{frames:?}");
}
