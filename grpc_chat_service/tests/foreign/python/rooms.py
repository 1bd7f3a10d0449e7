"""Checks rooms with a client that is generated from proto/chat/v1/chat.proto and shares no code with the service.

    PYTHONPATH=STUBS python rooms.py 127.0.0.1:9090

Needs the packages in requirements.txt, and in STUBS what grpcio-tools generates; the README has the command.
"""

import uuid
from queue import Queue

import grpc
from google.rpc import error_details_pb2, status_pb2

from chat.v1 import chat_pb2, chat_pb2_grpc
from client import DEADLINE, Unexpected, expect, run
from grpc_bidirectional_streaming_pb2 import ChatMessage
from grpc_bidirectional_streaming_pb2_grpc import ChatStub


def a_message_reaches_everyone_in_the_room(chat):
    room = chat.new_room()
    sam, ann = chat.session("sam"), chat.session("ann")
    expect(sam.join(room).verdict, chat_pb2.VERDICT_LIVE)
    joined = ann.join(room)
    expect(list(joined.present), ["ann", "sam"])
    ack = sam.send(room, "Hi, 漢字")
    expect((ack.seq, ack.duplicate), (1, False))
    for member in sam, ann:
        event = member.event()
        expect((event.seq, event.prev_seq, event.sender, event.posted.text), (1, 0, "sam", "Hi, 漢字"))
        expect(event.client_msg_id, ack.client_msg_id)
    sam.finish()
    ann.finish()


def a_repeat_is_stored_once(chat):
    room = chat.new_room()
    sam = chat.session("sam")
    first = sam.send(room, "once", bytes(16))
    sam.finish()
    sam = chat.session("sam")
    repeat = sam.send(room, "once", bytes(16))
    expect((repeat.seq, repeat.duplicate), (first.seq, True))
    status = sam.request(send=chat_pb2.Send(room=room, text="twice", client_msg_id=bytes(16))).error.status
    expect((status.code, chat.detail(status, "ErrorInfo").reason), (6, "CLIENT_MSG_ID_REUSED"))
    expect(len(chat.service.ListMessages(chat_pb2.ListMessagesRequest(room=room), timeout=DEADLINE).events), 1)
    sam.finish()


def a_reader_that_resumes_misses_nothing(chat):
    room = chat.new_room()
    sam, ann = chat.session("sam"), chat.session("ann")
    epoch = ann.join(room).epoch
    sam.send(room, "1")
    expect(ann.event().seq, 1)
    ann.finish()
    for number in range(2, 601):
        sam.send(room, str(number))
    ann = chat.session("ann")
    joined = ann.join(room, after=chat_pb2.Cursor(epoch=epoch, seq=1))
    expect((joined.verdict, joined.start_seq, joined.head_seq), (chat_pb2.VERDICT_RECOVERED, 1, 600))
    for number in range(2, 601):
        event = ann.event()
        expect((event.seq, event.prev_seq, event.posted.text), (number, number - 1, str(number)))
    expect(ann.next("caught_up").seq, 600)
    reset = ann.join(room, after=chat_pb2.Cursor(epoch=epoch + 1, seq=1))
    expect((reset.verdict, reset.reset_reason), (chat_pb2.VERDICT_RESET, chat_pb2.RESET_REASON_EPOCH))
    sam.finish()
    ann.finish()


def a_cursor_that_names_another_event_is_reset(chat):
    room = chat.new_room()
    sam = chat.session("sam")
    epoch = sam.join(room).epoch
    ack = sam.send(room, "Hi")
    joined = sam.join(room, after=chat_pb2.Cursor(epoch=epoch, seq=ack.seq, client_msg_id=ack.client_msg_id))
    expect(joined.verdict, chat_pb2.VERDICT_RECOVERED)
    joined = sam.join(room, after=chat_pb2.Cursor(epoch=epoch, seq=ack.seq, client_msg_id=uuid.uuid4().bytes))
    expect((joined.verdict, joined.reset_reason), (chat_pb2.VERDICT_RESET, chat_pb2.RESET_REASON_FORKED))
    sam.finish()


def a_deleted_message_has_no_text(chat):
    room = chat.new_room()
    sam, ann = chat.session("sam"), chat.session("ann")
    sam.send(room, "a secret")
    sam.request(edit=chat_pb2.Edit(room=room, seq=1, text="another", client_msg_id=uuid.uuid4().bytes))
    status = ann.request(delete=chat_pb2.Delete(room=room, seq=1, client_msg_id=uuid.uuid4().bytes)).error.status
    expect((status.code, chat.detail(status, "ErrorInfo").reason), (7, "NOT_THE_AUTHOR"))
    expect(sam.request(delete=chat_pb2.Delete(room=room, seq=1, client_msg_id=uuid.uuid4().bytes)).ack.seq, 3)
    page = chat.service.ListMessages(chat_pb2.ListMessagesRequest(room=room), timeout=DEADLINE)
    posted, edited, deleted = page.events
    expect((posted.posted.text, posted.posted.erased), ("", True))
    expect((edited.edited.text, edited.edited.erased), ("", True))
    expect(deleted.deleted.seq, 1)
    sam.finish()
    ann.finish()


def an_invalid_frame_is_refused_and_the_stream_continues(chat):
    sam = chat.session("sam")
    status = sam.request(join=chat_pb2.Join(room="not a room")).error.status
    expect((status.code, chat.detail(status, "BadRequest").field_violations[0].field), (3, "room"))
    status = sam.request(leave=chat_pb2.Leave(room="elsewhere")).error.status
    expect((status.code, chat.detail(status, "PreconditionFailure").violations[0].type), (9, "NOT_JOINED"))
    expect(sam.request(ping=chat_pb2.Ping()).WhichOneof("body"), "pong")
    sam.finish()


def the_first_frame_must_be_hello(chat):
    frames = iter([chat_pb2.ClientFrame(id=1, join=chat_pb2.Join(room="r"))])
    try:
        list(chat.service.Session(frames, timeout=DEADLINE))
    except grpc.RpcError as error:
        expect(error.code(), grpc.StatusCode.FAILED_PRECONDITION)
    else:
        raise Unexpected("expected FAILED_PRECONDITION for a session without hello, got OK")


def a_message_is_posted_without_a_session(chat):
    room = chat.new_room()
    message = chat_pb2.SendMessageRequest(user="bot", room=room, text="Deployed", client_msg_id=uuid.uuid4().bytes)
    stored = chat.service.SendMessage(message, timeout=DEADLINE)
    repeat = chat.service.SendMessage(message, timeout=DEADLINE)
    expect((repeat.seq, repeat.duplicate), (stored.seq, True))
    page = chat.service.ListMessages(chat_pb2.ListMessagesRequest(room=room), timeout=DEADLINE)
    expect([(event.sender, event.posted.text) for event in page.events], [("bot", "Deployed")])
    expect(page.epoch, stored.epoch)
    try:
        chat.service.SendMessage(chat_pb2.SendMessageRequest(user="bot", room="not a room"), timeout=DEADLINE)
    except grpc.RpcError as error:
        details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
        status = status_pb2.Status.FromString(details)
        expect((status.code, chat.detail(status, "ErrorInfo").reason), (3, "INVALID_FIELD"))
    else:
        raise Unexpected('expected INVALID_ARGUMENT for a message to "not a room", got OK')


def the_example_can_be_called_in_a_room(chat):
    room = chat.new_room()
    sam = chat.session("sam")
    sam.join(room)
    lines = ChatStub(chat.channel).chat(
        iter([ChatMessage(name="Ann", message="Hey")]), metadata=[("chat-room", room)], timeout=DEADLINE
    )
    expect([line.value for line in lines], ["Ann: Hey"])
    event = sam.event()
    expect((event.sender, event.posted.text), ("Ann", "Hey"))
    sam.finish()


CHECKS = [
    a_message_reaches_everyone_in_the_room,
    a_repeat_is_stored_once,
    a_reader_that_resumes_misses_nothing,
    a_cursor_that_names_another_event_is_reset,
    a_deleted_message_has_no_text,
    an_invalid_frame_is_refused_and_the_stream_continues,
    the_first_frame_must_be_hello,
    a_message_is_posted_without_a_session,
    the_example_can_be_called_in_a_room,
]


class Rooms:
    """A client of chat.v1."""

    def __init__(self, address):
        channel = grpc.insecure_channel(address)
        self.channel = channel
        self.service = chat_pb2_grpc.ChatServiceStub(channel)

    def session(self, user):
        return Session(self, user)

    def new_room(self):
        return f"python/{uuid.uuid4()}"

    def detail(self, status, name):
        for detail in status.details:
            message = getattr(error_details_pb2, name)()
            if detail.Unpack(message):
                return message
        raise Unexpected(f"no {name} among the details of: {status.message}")


class Session:
    """A session. Frames that are received while another one is awaited are kept for later."""

    def __init__(self, chat, user):
        self._outgoing = Queue()
        self._received = []
        self._id = 0
        self._frames = chat.service.Session(iter(self._outgoing.get, None), timeout=DEADLINE)
        welcome = self.request(hello=chat_pb2.Hello(user=user, client_name="rooms.py")).welcome
        expect(welcome.user, user)

    def request(self, **body):
        """Sends a frame and returns the reply."""
        self._id += 1
        frame_id = self._id
        self._outgoing.put(chat_pb2.ClientFrame(id=frame_id, **body))
        return self._wait_for(lambda frame: frame.reply_to == frame_id)

    def join(self, room, **start):
        joined = self.request(join=chat_pb2.Join(room=room, **start)).joined
        expect(joined.room, room)
        return joined

    def send(self, room, text, client_msg_id=None):
        message = chat_pb2.Send(room=room, text=text, client_msg_id=client_msg_id or uuid.uuid4().bytes)
        reply = self.request(send=message)
        expect(reply.WhichOneof("body"), "ack")
        return reply.ack

    def event(self):
        return self.next("event")

    def next(self, body):
        """Returns the next frame with that body."""
        return getattr(self._wait_for(lambda frame: frame.WhichOneof("body") == body), body)

    def finish(self):
        """Half-closes, and reads the stream to its end, which has to be OK."""
        self._outgoing.put(None)
        for _ in self._frames:
            pass
        expect(self._frames.code(), grpc.StatusCode.OK)

    def _wait_for(self, wanted):
        """Returns the first frame that is wanted. Replies to Ping."""
        for index, frame in enumerate(self._received):
            if wanted(frame):
                return self._received.pop(index)
        for frame in self._frames:
            if wanted(frame):
                return frame
            if frame.WhichOneof("body") == "ping":
                self._outgoing.put(chat_pb2.ClientFrame(pong=chat_pb2.Pong()))
            else:
                self._received.append(frame)
        raise Unexpected(f"the stream ended with {self._frames.code()}")


if __name__ == "__main__":
    run(Rooms, CHECKS, "rooms.py")
