//! The state file: what is in it after it was closed, refused and not written.

use std::fs;
use std::path::Path;

use prost::Message;
use stubs::chat::v1 as pb;

use super::*;
use crate::model::Change;
use crate::wire::convert;

fn general() -> RoomId {
    "general".parse().unwrap()
}

fn draft(text: &str) -> Draft {
    Draft::new(general(), Change::post(text))
}

#[tokio::test]
async fn saved_drafts_and_cursors_are_read_again_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/state.db");
    let (state, saved) = State::open(path.clone()).await.unwrap();
    assert!(saved.owner.is_none() && saved.drafts.is_empty() && saved.cursors.is_empty());
    let drafts = ["a", "b", "c"].map(draft);
    state.set_owner("sam".to_owned());
    drafts.iter().for_each(|draft| state.save(draft.clone()));
    state.remove(drafts[1].id);
    let cursor = Cursor { epoch: u64::MAX, seq: 7, id: Some(MsgId::new()) };
    state.seen(HashMap::from([(general(), Cursor { epoch: 1, seq: 9, id: None })]));
    state.seen(HashMap::from([(general(), cursor)]));
    state.close().await.unwrap();

    let (state, saved) = State::open(path.clone()).await.unwrap();
    assert_eq!(saved.owner.as_deref(), Some("sam"));
    assert_eq!(saved.drafts, [drafts[0].clone(), drafts[2].clone()]);
    assert_eq!(saved.cursors["general"], cursor);
    state.remove(drafts[0].id);
    state.save(draft("d"));
    state.close().await.unwrap();

    let (_state, saved) = State::open(path).await.unwrap();
    let texts: Vec<_> = saved.drafts.into_iter().map(|draft| draft.change).collect();
    assert_eq!(texts, [Change::post("c"), Change::post("d")]);
}

#[tokio::test]
async fn a_file_of_version_1_is_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let unsent = draft("unsent");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE owner (user TEXT NOT NULL) STRICT;
         CREATE TABLE drafts (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, frame BLOB NOT NULL) STRICT;
         CREATE TABLE cursors (room TEXT PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL) STRICT;
         INSERT INTO owner VALUES ('sam');
         INSERT INTO cursors VALUES ('general', 7, 3), ('random', 7, 9);
         PRAGMA application_id = 0x63686174;
         PRAGMA user_version = 1;",
    )
    .unwrap();
    let frame = pb::ClientFrame { id: 0, body: Some(convert::change_to_wire(&unsent)) }.encode_to_vec();
    old.execute("INSERT INTO drafts VALUES (1, ?1, ?2)", rusqlite::params![unsent.id.0.as_slice(), frame]).unwrap();
    drop(old);

    let (state, saved) = State::open(path.clone()).await.unwrap();
    assert_eq!((saved.owner.as_deref(), &saved.drafts[..]), (Some("sam"), &[unsent][..]));
    assert_eq!(saved.cursors["general"], Cursor { epoch: 7, seq: 3, id: None });
    let cursor = Cursor { epoch: 7, seq: 4, id: Some(MsgId::new()) };
    state.seen(HashMap::from([(general(), cursor)]));
    state.close().await.unwrap();
    let (_state, saved) = State::open(path).await.unwrap();
    assert_eq!(saved.cursors["general"], cursor);
    assert_eq!(saved.cursors["random"], Cursor { epoch: 7, seq: 9, id: None });
}

#[tokio::test]
async fn one_client_at_a_time_uses_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let (first, _) = State::open(path.clone()).await.unwrap();
    let second = State::open(path.clone()).await.unwrap_err();
    assert!(matches!(second, StateError::InUse(_)), "{second}");
    first.close().await.unwrap();
    State::open(path).await.unwrap();
}

#[tokio::test]
async fn a_file_of_another_program_or_version_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    fs::write(&path, "a diary, and a long one at that ".repeat(100)).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(State::open(path.clone()).await.unwrap_err(), StateError::WrongFormat(_)));
    assert_eq!(fs::read(&path).unwrap(), before);

    let path = folder.path().join("other.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE a (b)").unwrap();
    assert!(matches!(State::open(path.clone()).await.unwrap_err(), StateError::WrongFormat(_)));

    let path = folder.path().join("newer.db");
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    assert!(matches!(State::open(path).await.unwrap_err(), StateError::WrongFormat(_)));

    let below_a_file = folder.path().join("newer.db/state.db");
    assert!(matches!(State::open(below_a_file).await.unwrap_err(), StateError::Io(..)));
}

#[tokio::test]
async fn a_draft_that_is_saved_twice_is_there_once_and_blocks_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let (again, other) = (draft("again"), draft("other"));
    let (state, _) = State::open(path.clone()).await.unwrap();
    state.save(again.clone());
    state.close().await.unwrap();
    let (state, _) = State::open(path.clone()).await.unwrap();
    state.save(again.clone());
    state.save(again.clone());
    state.save(other.clone());
    state.close().await.unwrap();
    let (state, saved) = State::open(path.clone()).await.unwrap();
    assert_eq!(saved.drafts, [again.clone(), other.clone()]);
    for _ in 0..2 {
        state.save(again.clone());
        state.remove(again.id);
    }
    state.close().await.unwrap();
    let (_state, saved) = State::open(path).await.unwrap();
    assert_eq!(saved.drafts, [other]);
}

/// A connection on which nothing can be written until `query_only` is turned off.
fn read_only(path: &Path) -> Connection {
    let connection = open(path).unwrap().unwrap();
    connection.pragma_update(None, "query_only", true).unwrap();
    connection
}

#[test]
fn a_failed_batch_is_written_later_without_drafts_acked_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = read_only(&folder.path().join("state.db"));
    let mut pending = Pending::default();
    let [acked, saved, later] = ["acked", "saved", "later"].map(draft);
    pending.save(acked.clone());
    pending.save(saved.clone());
    pending.batch.seen.insert(general(), Cursor { epoch: 1, seq: 1, id: None });
    let batch = pending.take();
    batch.write(&mut connection).unwrap_err();
    pending.remove(acked.id);
    pending.save(later.clone());
    pending.batch.seen.insert(general(), Cursor { epoch: 1, seq: 2, id: None });
    pending.put_back(batch);

    connection.pragma_update(None, "query_only", false).unwrap();
    let batch = pending.take();
    batch.write(&mut connection).unwrap();
    let read = read(&connection).unwrap().saved;
    assert_eq!(read.drafts, [saved.clone(), later]);
    assert_eq!(read.cursors["general"].seq, 2);

    pending.save(saved.clone());
    assert!(pending.batch.is_empty(), "it is in the file");
    pending.remove(saved.id);
    pending.remove(saved.id);
    assert_eq!(pending.batch.removes(), 1);
}

#[tokio::test]
async fn what_cannot_be_written_in_the_end_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let connection = read_only(&folder.path().join("state.db"));
    let mut state = State::start(connection, Arc::default()).unwrap();
    state.save(draft("a"));
    assert!(state.problem().await.is_some(), "at once");
    state.save(draft("b"));
    assert!(state.close().await.unwrap_err().to_string().contains("could not be written"));
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_user_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let (_state, _) = State::open(path.clone()).await.unwrap();
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}
