//! A client of `chat.v1` that sends frames and waits for the one it wants; other frames are kept for later.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;

use stubs::chat::v1::chat_service_client::ChatServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::support::frames::{ClientBody, EventBody, ServerBody, hello, join, pb, ping, presence_changed, send};
use crate::support::refusal::Refusal;
use crate::support::{channel, stays_pending, with_timeout};

/// One session.
pub(crate) struct Session {
    frames: Option<mpsc::UnboundedSender<pb::ClientFrame>>,
    stream: Streaming<pb::ServerFrame>,
    /// Frames that have been received and that no test has waited for yet.
    received: VecDeque<pb::ServerFrame>,
    /// The ids of the frames that have been replied to.
    replied: HashSet<u64>,
    last_id: u64,
    pub(crate) welcome: pb::Welcome,
}

impl Session {
    /// Opens a session for `user` on a connection of its own.
    pub(crate) async fn open(addr: SocketAddr, user: &str) -> Self {
        Self::open_on(&channel(addr).await, user).await
    }

    /// Opens a session for `user` on the channel's connection.
    pub(crate) async fn open_on(channel: &Channel, user: &str) -> Self {
        let mut session = Self::before_hello(channel).await;
        let id = session.send_frame(hello(user));
        let first = session.next_frame().await;
        assert_eq!(first.reply_to, id, "the first frame is not Welcome");
        let Some(ServerBody::Welcome(welcome)) = first.body else { panic!("not Welcome: {first:?}") };
        assert_eq!(welcome.user, user);
        session.welcome = welcome;
        session
    }

    /// Opens a stream without sending Hello.
    pub(crate) async fn before_hello(channel: &Channel) -> Self {
        let (frames, outgoing) = mpsc::unbounded_channel();
        let mut client = ChatServiceClient::new(channel.clone());
        let stream = with_timeout(client.session(UnboundedReceiverStream::new(outgoing))).await.unwrap().into_inner();
        Self {
            frames: Some(frames),
            stream,
            received: VecDeque::new(),
            replied: HashSet::new(),
            last_id: 0,
            welcome: pb::Welcome::default(),
        }
    }

    /// Sends a frame under the next id, which is returned.
    pub(crate) fn send_frame(&mut self, body: ClientBody) -> u64 {
        self.last_id += 1;
        self.send_frame_with_id(self.last_id, body);
        self.last_id
    }

    /// Sends a frame under any id.
    pub(crate) fn send_frame_with_id(&mut self, id: u64, body: ClientBody) {
        self.last_id = self.last_id.max(id);
        // The stream may have ended. How it ended is found when the test reads.
        let _ = self.frames.as_ref().unwrap().send(pb::ClientFrame { id, body: Some(body) });
    }

    pub(crate) fn half_close(&mut self) {
        self.frames = None;
    }

    /// Receives the next frame of the stream, or its end. Every id is replied to at most once.
    async fn receive(&mut self) -> Result<pb::ServerFrame, Result<(), Status>> {
        match with_timeout(self.stream.message()).await {
            Ok(Some(frame)) => {
                assert!(frame.reply_to == 0 || self.replied.insert(frame.reply_to), "replied to twice: {frame:?}");
                Ok(frame)
            }
            Ok(None) => Err(Ok(())),
            Err(status) => Err(Err(status)),
        }
    }

    /// Returns the next frame, whatever it is.
    pub(crate) async fn next_frame(&mut self) -> pb::ServerFrame {
        match self.received.pop_front() {
            Some(frame) => frame,
            None => self.receive().await.expect("the stream has ended"),
        }
    }

    /// Returns the first frame that `select` accepts. The others are kept.
    pub(crate) async fn wait_for<T>(&mut self, mut select: impl FnMut(&pb::ServerFrame) -> Option<T>) -> T {
        for (index, frame) in self.received.iter().enumerate() {
            if let Some(selected) = select(frame) {
                self.received.remove(index);
                return selected;
            }
        }
        loop {
            let frame = match self.receive().await {
                Ok(frame) => frame,
                Err(end) => panic!("the stream has ended: {end:?}; received and not waited for: {:?}", self.received),
            };
            if let Some(selected) = select(&frame) {
                return selected;
            }
            self.received.push_back(frame);
        }
    }

    /// Returns the reply to the frame with that id.
    pub(crate) async fn reply(&mut self, id: u64) -> ServerBody {
        self.wait_for(|frame| (frame.reply_to == id).then(|| frame.body.clone().unwrap())).await
    }

    /// Returns the reply to the frame with that id, which has to be an Ack.
    pub(crate) async fn ack(&mut self, id: u64) -> pb::Ack {
        match self.reply(id).await {
            ServerBody::Ack(ack) => ack,
            other => panic!("not Ack: {other:?}"),
        }
    }

    /// Returns the reply to the frame with that id, which has to be an Error.
    pub(crate) async fn refusal(&mut self, id: u64) -> Refusal {
        match self.reply(id).await {
            ServerBody::Error(error) => Refusal::from(error),
            other => panic!("not Error: {other:?}"),
        }
    }

    /// Sends a frame and returns the reply.
    pub(crate) async fn request(&mut self, body: ClientBody) -> ServerBody {
        let id = self.send_frame(body);
        self.reply(id).await
    }

    /// Sends a frame whose reply has to be an Ack.
    pub(crate) async fn expect_ack(&mut self, body: ClientBody) -> pb::Ack {
        let id = self.send_frame(body);
        self.ack(id).await
    }

    /// Sends a frame whose reply has to be an Error.
    pub(crate) async fn expect_refusal(&mut self, body: ClientBody) -> Refusal {
        let id = self.send_frame(body);
        self.refusal(id).await
    }

    /// Sends a frame whose reply has to be Done.
    pub(crate) async fn expect_done(&mut self, body: ClientBody) {
        let reply = self.request(body).await;
        assert!(matches!(reply, ServerBody::Done(_)), "{reply:?}");
    }

    /// Posts a message and returns its sequence number.
    pub(crate) async fn post(&mut self, room: &str, text: &str) -> u64 {
        self.expect_ack(send(room, text)).await.seq
    }

    /// Posts messages, all of them in flight at once, and waits for their Acks.
    pub(crate) async fn post_all(&mut self, room: &str, texts: impl IntoIterator<Item = impl AsRef<str>>) {
        let ids: Vec<u64> = texts.into_iter().map(|text| self.send_frame(send(room, text.as_ref()))).collect();
        for id in ids {
            self.ack(id).await;
        }
    }

    /// Joins a room.
    pub(crate) async fn join(&mut self, room: &str, start: Option<pb::join::Start>) -> pb::Joined {
        match self.request(join(room, start)).await {
            ServerBody::Joined(joined) => joined,
            other => panic!("not Joined: {other:?}"),
        }
    }

    /// Joins a room for new events only, and waits for CaughtUp.
    pub(crate) async fn join_live(&mut self, room: &str) -> pb::Joined {
        let joined = self.join(room, None).await;
        self.caught_up(room).await;
        joined
    }

    /// Returns the next event of the room.
    pub(crate) async fn next_event(&mut self, room: &str) -> pb::Event {
        self.wait_for(|frame| match &frame.body {
            Some(ServerBody::Event(event)) if event.room == room => Some(event.clone()),
            _ => None,
        })
        .await
    }

    /// Returns the texts of the next `count` events of the room, which have to be posts that follow `after` without gaps.
    pub(crate) async fn next_texts(&mut self, room: &str, after: u64, count: usize) -> Vec<String> {
        let mut cursor = after;
        let mut texts = Vec::new();
        for _ in 0..count {
            let event = self.next_event(room).await;
            assert_eq!(event.prev_seq, cursor, "{event:?}");
            assert!(event.seq > cursor, "{event:?}");
            cursor = event.seq;
            let Some(EventBody::Posted(posted)) = event.body else { panic!("not a post: {event:?}") };
            texts.push(posted.text);
        }
        texts
    }

    /// Waits for the room's CaughtUp and returns its sequence number.
    pub(crate) async fn caught_up(&mut self, room: &str) -> u64 {
        self.wait_for(|frame| match &frame.body {
            Some(ServerBody::CaughtUp(caught_up)) if caught_up.room == room => Some(caught_up.seq),
            _ => None,
        })
        .await
    }

    /// Waits until the user enters a room that the session has joined.
    pub(crate) async fn wait_for_enter(&mut self, user: &str) -> pb::PresenceChanged {
        let entered = |changed: &pb::PresenceChanged| changed.came.iter().any(|came| came == user);
        self.wait_for(|frame| presence_changed(frame).filter(entered)).await
    }

    /// Waits until the user leaves a room that the session has joined.
    pub(crate) async fn wait_for_leave(&mut self, user: &str) -> pb::PresenceChanged {
        let left = |changed: &pb::PresenceChanged| changed.left.iter().any(|left| left == user);
        self.wait_for(|frame| presence_changed(frame).filter(left)).await
    }

    /// Returns the frames that come before the reply to a Ping: all that the server has sent to this session by now.
    pub(crate) async fn received_so_far(&mut self) -> Vec<pb::ServerFrame> {
        let id = self.send_frame(ping());
        let mut all = Vec::new();
        loop {
            let frame = self.next_frame().await;
            if frame.reply_to == id {
                return all;
            }
            all.push(frame);
        }
    }

    /// Returns whether nothing is received for a while.
    pub(crate) async fn receives_nothing(&mut self) -> bool {
        self.received.is_empty() && stays_pending(&mut Box::pin(self.stream.message())).await
    }

    /// Reads the stream to its end. Returns the frames that no test has waited for, and how the stream ended.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<pb::ServerFrame>, Result<(), Status>) {
        let mut frames: Vec<_> = self.received.drain(..).collect();
        loop {
            match self.receive().await {
                Ok(frame) => frames.push(frame),
                Err(end) => return (frames, end),
            }
        }
    }

    /// Reads the stream to its end, which has to be an error, and returns it.
    pub(crate) async fn expect_failure(&mut self) -> Refusal {
        Refusal::from(self.read_to_end().await.1.expect_err("the stream ended with OK"))
    }
}
