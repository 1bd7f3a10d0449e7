//! A caller of `chat.v1` that says frames and waits for the one it wants; what else comes is kept for later.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
pub(crate) use stubs::chat::v1 as pb;
use stubs::chat::v1::chat_service_client::ChatServiceClient;
pub(crate) use stubs::chat::v1::client_frame::Body as Say;
pub(crate) use stubs::chat::v1::event::Body as Happened;
pub(crate) use stubs::chat::v1::server_frame::Body as Said;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use crate::support::{channel, soon, waits};

/// One stream of frames.
pub(crate) struct Session {
    say: Option<mpsc::UnboundedSender<pb::ClientFrame>>,
    hear: Streaming<pb::ServerFrame>,
    /// Heard, and not waited for yet.
    heard: VecDeque<pb::ServerFrame>,
    replied: HashSet<u64>,
    last_id: u64,
    pub(crate) welcome: pb::Welcome,
}

impl Session {
    /// Says hello as `user` on a connection of its own.
    pub(crate) async fn open(addr: SocketAddr, user: &str) -> Self {
        Self::on(&channel(addr).await, user).await
    }

    /// Says hello as `user`; the stream shares the channel's connection.
    pub(crate) async fn on(channel: &Channel, user: &str) -> Self {
        let mut session = Self::silent(channel).await;
        let id = session.say(hello(user));
        let first = session.next().await;
        assert_eq!(first.reply_to, id, "welcome comes first");
        let Some(Said::Welcome(welcome)) = first.body else { panic!("no welcome: {first:?}") };
        assert_eq!(welcome.user, user);
        session.welcome = welcome;
        session
    }

    /// A stream on which nothing has been said.
    pub(crate) async fn silent(channel: &Channel) -> Self {
        let (say, said) = mpsc::unbounded_channel();
        let mut client = ChatServiceClient::new(channel.clone());
        let hear = soon(client.session(UnboundedReceiverStream::new(said))).await.unwrap().into_inner();
        let welcome = pb::Welcome::default();
        Self { say: Some(say), hear, heard: VecDeque::new(), replied: HashSet::new(), last_id: 0, welcome }
    }

    /// Says it under the next id, which is returned.
    pub(crate) fn say(&mut self, body: Say) -> u64 {
        self.last_id += 1;
        self.say_as(self.last_id, Some(body));
        self.last_id
    }

    /// Says it under any id.
    pub(crate) fn say_as(&mut self, id: u64, body: Option<Say>) {
        self.last_id = self.last_id.max(id);
        // The stream may be over already; how it ended is heard.
        let _ = self.say.as_ref().unwrap().send(pb::ClientFrame { id, body });
    }

    /// Half-closes.
    pub(crate) fn close(&mut self) {
        self.say = None;
    }

    /// The next frame off the stream, or its end. Every id is replied to at most once.
    async fn hear(&mut self) -> Result<pb::ServerFrame, Result<(), Status>> {
        match soon(self.hear.message()).await {
            Ok(Some(frame)) => {
                assert!(frame.reply_to == 0 || self.replied.insert(frame.reply_to), "replied to twice: {frame:?}");
                Ok(frame)
            }
            Ok(None) => Err(Ok(())),
            Err(status) => Err(Err(status)),
        }
    }

    /// The next frame, whatever it is.
    pub(crate) async fn next(&mut self) -> pb::ServerFrame {
        match self.heard.pop_front() {
            Some(frame) => frame,
            None => self.hear().await.expect("the stream should go on"),
        }
    }

    /// The first frame, of those not waited for yet and those to come, that is what `want` wants.
    pub(crate) async fn wait<T>(&mut self, mut want: impl FnMut(&pb::ServerFrame) -> Option<T>) -> T {
        for (index, frame) in self.heard.iter().enumerate() {
            if let Some(wanted) = want(frame) {
                self.heard.remove(index);
                return wanted;
            }
        }
        loop {
            let frame = match self.hear().await {
                Ok(frame) => frame,
                Err(end) => panic!("the stream has ended: {end:?}; not waited for: {:?}", self.heard),
            };
            if let Some(wanted) = want(&frame) {
                return wanted;
            }
            self.heard.push_back(frame);
        }
    }

    /// The reply to the frame with that id.
    pub(crate) async fn reply(&mut self, id: u64) -> Said {
        self.wait(|frame| (frame.reply_to == id).then(|| frame.body.clone().unwrap())).await
    }

    pub(crate) async fn ask(&mut self, body: Say) -> Said {
        let id = self.say(body);
        self.reply(id).await
    }

    /// Says it and is refused.
    pub(crate) async fn refused(&mut self, body: Say) -> Refused {
        let id = self.say(body);
        self.refusal(id).await
    }

    pub(crate) async fn refusal(&mut self, id: u64) -> Refused {
        match self.reply(id).await {
            Said::Error(error) => Refused::of(&error.status.unwrap()),
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) async fn done(&mut self, body: Say) {
        let reply = self.ask(body).await;
        assert!(matches!(reply, Said::Done(_)), "{reply:?}");
    }

    pub(crate) async fn acked(&mut self, body: Say) -> pb::Ack {
        let id = self.say(body);
        self.ack(id).await
    }

    pub(crate) async fn ack(&mut self, id: u64) -> pb::Ack {
        match self.reply(id).await {
            Said::Ack(ack) => ack,
            other => panic!("no ack: {other:?}"),
        }
    }

    /// Sends a new message and waits for its place.
    pub(crate) async fn post(&mut self, room: &str, text: &str) -> u64 {
        self.acked(send(room, text)).await.seq
    }

    pub(crate) async fn join(&mut self, room: &str, start: Option<pb::join::Start>) -> pb::Joined {
        match self.ask(join(room, start)).await {
            Said::Joined(joined) => joined,
            other => panic!("not joined: {other:?}"),
        }
    }

    /// Joins live, and waits until all is told that was true when it joined.
    pub(crate) async fn enter(&mut self, room: &str) -> pb::Joined {
        let joined = self.join(room, None).await;
        self.caught_up(room).await;
        joined
    }

    /// The next event of the room.
    pub(crate) async fn event(&mut self, room: &str) -> pb::Event {
        self.wait(|frame| match &frame.body {
            Some(Said::Event(event)) if event.room == room => Some(event.clone()),
            _ => None,
        })
        .await
    }

    /// Texts of the next so many events of the room, which are posts; their chain is checked from `after` on.
    pub(crate) async fn texts(&mut self, room: &str, after: u64, count: usize) -> Vec<String> {
        let mut place = after;
        let mut texts = Vec::new();
        for _ in 0..count {
            let event = self.event(room).await;
            assert_eq!(event.prev_seq, place, "{event:?}");
            assert!(event.seq > place, "{event:?}");
            place = event.seq;
            let Some(Happened::Posted(posted)) = event.body else { panic!("not a post: {event:?}") };
            texts.push(posted.text);
        }
        texts
    }

    pub(crate) async fn caught_up(&mut self, room: &str) -> u64 {
        self.wait(|frame| match &frame.body {
            Some(Said::CaughtUp(at)) if at.room == room => Some(at.seq),
            _ => None,
        })
        .await
    }

    /// Everything the server has for this session by now: what was heard before the answer to a ping.
    pub(crate) async fn so_far(&mut self) -> Vec<pb::ServerFrame> {
        let id = self.say(Say::Ping(pb::Ping {}));
        let mut all = Vec::new();
        loop {
            let frame = self.next().await;
            if frame.reply_to == id {
                return all;
            }
            all.push(frame);
        }
    }

    /// Nothing comes for a time that is long for a computer.
    pub(crate) async fn hears_nothing(&mut self) -> bool {
        self.heard.is_empty() && waits(&mut Box::pin(self.hear.message())).await
    }

    /// What is still said until the stream ends, and how it ends.
    pub(crate) async fn rest(&mut self) -> (Vec<pb::ServerFrame>, Result<(), Status>) {
        let mut rest: Vec<_> = self.heard.drain(..).collect();
        loop {
            match self.hear().await {
                Ok(frame) => rest.push(frame),
                Err(end) => return (rest, end),
            }
        }
    }

    /// The status with which the stream ends.
    pub(crate) async fn failed(&mut self) -> Refused {
        Refused::from(self.rest().await.1.expect_err("not ended in order"))
    }
}

/// A status and its details, in the stream or in the trailers.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: ErrorDetails,
}

impl Refused {
    fn of(status: &tonic_types::pb::Status) -> Self {
        use prost::Message;
        let encoded = status.encode_to_vec().into();
        let refused = Self::from(Status::with_details(status.code.into(), status.message.clone(), encoded));
        assert!(pb::Reason::from_str_name(refused.reason()).is_some(), "{refused:?}");
        refused
    }

    /// The names of the fields at fault.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let bad = self.details.bad_request().map(|bad| bad.field_violations.iter().map(|one| one.field.as_str()));
        bad.into_iter().flatten().collect()
    }

    pub(crate) fn precondition(&self) -> &str {
        &self.details.precondition_failure().expect("a PreconditionFailure").violations[0].r#type
    }

    pub(crate) fn reason(&self) -> &str {
        let info = self.details.error_info().expect("an ErrorInfo");
        assert_eq!(info.domain, "chat.v1");
        &info.reason
    }

    pub(crate) fn quota(&self) -> &str {
        &self.details.quota_failure().expect("a QuotaFailure").violations[0].subject
    }

    pub(crate) fn has_retry(&self) -> bool {
        self.details.retry_info().is_some_and(|retry| retry.retry_delay.is_some())
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self { code: status.code(), message: status.message().to_owned(), details: status.get_error_details() }
    }
}

pub(crate) fn hello(user: &str) -> Say {
    Say::Hello(pb::Hello { client_name: "it".to_owned(), user: user.to_owned(), ..pb::Hello::default() })
}

pub(crate) fn join(room: &str, start: Option<pb::join::Start>) -> Say {
    Say::Join(pb::Join { room: room.to_owned(), start })
}

#[expect(clippy::unnecessary_wraps, reason = "as a Join has it")]
pub(crate) fn last(count: u32) -> Option<pb::join::Start> {
    Some(pb::join::Start::Last(count))
}

#[expect(clippy::unnecessary_wraps, reason = "as a Join has it")]
pub(crate) fn after(epoch: u64, seq: u64) -> Option<pb::join::Start> {
    Some(pb::join::Start::After(pb::Cursor { epoch, seq }))
}

pub(crate) fn leave(room: &str) -> Say {
    Say::Leave(pb::Leave { room: room.to_owned() })
}

pub(crate) fn msg_id() -> Bytes {
    Bytes::copy_from_slice(uuid::Uuid::now_v7().as_bytes())
}

pub(crate) fn send(room: &str, text: &str) -> Say {
    send_as(room, text, msg_id())
}

pub(crate) fn send_as(room: &str, text: &str, client_msg_id: Bytes) -> Say {
    Say::Send(pb::Send { room: room.to_owned(), text: text.to_owned(), client_msg_id, reply_to_seq: 0, epoch: 0 })
}

pub(crate) fn edit(room: &str, seq: u64, text: &str) -> Say {
    Say::Edit(pb::Edit { room: room.to_owned(), seq, text: text.to_owned(), client_msg_id: msg_id(), epoch: 0 })
}

pub(crate) fn delete(room: &str, seq: u64) -> Say {
    Say::Delete(pb::Delete { room: room.to_owned(), seq, client_msg_id: msg_id(), epoch: 0 })
}

pub(crate) fn react(room: &str, seq: u64, reaction: &str, remove: bool) -> Say {
    let (room, reaction) = (room.to_owned(), reaction.to_owned());
    Say::React(pb::React { room, seq, reaction, remove, client_msg_id: msg_id(), epoch: 0 })
}

pub(crate) fn mark(room: &str, seq: u64) -> Say {
    Say::MarkRead(pb::MarkRead { room: room.to_owned(), seq })
}

pub(crate) fn typing(room: &str) -> Say {
    Say::Typing(pb::Typing { room: room.to_owned() })
}

pub(crate) fn ping() -> Say {
    Say::Ping(pb::Ping {})
}
