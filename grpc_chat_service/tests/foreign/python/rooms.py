"""Checks rooms with a client that is generated from proto/chat/v1/chat.proto and shares no code with the service.

    python rooms.py 127.0.0.1:9090

Needs the packages in requirements.txt.
"""

import sys
import uuid
from queue import Queue

import grpc

from client import DEADLINE, Unexpected, expect, run, stubs


def a_message_reaches_everyone_in_the_room(chat):
    room = chat.new_room()
    sam, ann = chat.session("sam"), chat.session("ann")
    expect(sam.join(room).verdict, chat.pb.VERDICT_LIVE)
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
    status = sam.request(send=chat.pb.Send(room=room, text="twice", client_msg_id=bytes(16))).error.status
    expect((status.code, chat.detail(status, "ErrorInfo").reason), (6, "CLIENT_MSG_ID_REUSED"))
    expect(len(chat.service.ListMessages(chat.pb.ListMessagesRequest(room=room), timeout=DEADLINE).events), 1)
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
    joined = ann.join(room, after=chat.pb.Cursor(epoch=epoch, seq=1))
    expect((joined.verdict, joined.start_seq, joined.head_seq), (chat.pb.VERDICT_RECOVERED, 1, 600))
    for number in range(2, 601):
        event = ann.event()
        expect((event.seq, event.prev_seq, event.posted.text), (number, number - 1, str(number)))
    expect(ann.next("caught_up").seq, 600)
    reset = ann.join(room, after=chat.pb.Cursor(epoch=epoch + 1, seq=1))
    expect((reset.verdict, reset.reset_reason), (chat.pb.VERDICT_RESET, chat.pb.RESET_REASON_EPOCH))
    sam.finish()
    ann.finish()


def a_deleted_message_has_no_text(chat):
    room = chat.new_room()
    sam, ann = chat.session("sam"), chat.session("ann")
    sam.send(room, "a secret")
    sam.request(edit=chat.pb.Edit(room=room, seq=1, text="another", client_msg_id=uuid.uuid4().bytes))
    status = ann.request(delete=chat.pb.Delete(room=room, seq=1, client_msg_id=uuid.uuid4().bytes)).error.status
    expect((status.code, chat.detail(status, "ErrorInfo").reason), (7, "NOT_THE_AUTHOR"))
    expect(sam.request(delete=chat.pb.Delete(room=room, seq=1, client_msg_id=uuid.uuid4().bytes)).ack.seq, 3)
    page = chat.service.ListMessages(chat.pb.ListMessagesRequest(room=room), timeout=DEADLINE)
    posted, edited, deleted = page.events
    expect((posted.posted.text, posted.posted.erased), ("", True))
    expect((edited.edited.text, edited.edited.erased), ("", True))
    expect(deleted.deleted.seq, 1)
    sam.finish()
    ann.finish()


def an_invalid_frame_is_refused_and_the_stream_continues(chat):
    sam = chat.session("sam")
    status = sam.request(join=chat.pb.Join(room="not a room")).error.status
    expect((status.code, chat.detail(status, "BadRequest").field_violations[0].field), (3, "room"))
    status = sam.request(leave=chat.pb.Leave(room="elsewhere")).error.status
    expect((status.code, chat.detail(status, "PreconditionFailure").violations[0].type), (9, "NOT_JOINED"))
    expect(sam.request(ping=chat.pb.Ping()).WhichOneof("body"), "pong")
    sam.finish()


def the_first_frame_must_be_hello(chat):
    frames = iter([chat.pb.ClientFrame(id=1, join=chat.pb.Join(room="r"))])
    try:
        list(chat.service.Session(frames, timeout=DEADLINE))
    except grpc.RpcError as error:
        expect(error.code(), grpc.StatusCode.FAILED_PRECONDITION)
    else:
        raise Unexpected("expected FAILED_PRECONDITION for a session without hello, got OK")


def the_example_can_be_called_in_a_room(chat):
    room = chat.new_room()
    sam = chat.session("sam")
    sam.join(room)
    messages, services = stubs("grpc_bidirectional_streaming")
    lines = services.ChatStub(chat.channel).chat(
        iter([messages.ChatMessage(name="Ann", message="Hey")]), metadata=[("chat-room", room)], timeout=DEADLINE
    )
    expect([line.value for line in lines], ["Ann: Hey"])
    event = sam.event()
    expect((event.sender, event.posted.text), ("Ann", "Hey"))
    sam.finish()


CHECKS = [
    a_message_reaches_everyone_in_the_room,
    a_repeat_is_stored_once,
    a_reader_that_resumes_misses_nothing,
    a_deleted_message_has_no_text,
    an_invalid_frame_is_refused_and_the_stream_continues,
    the_first_frame_must_be_hello,
    the_example_can_be_called_in_a_room,
]


class Rooms:
    """A client of chat.v1."""

    def __init__(self, address):
        self.pb, services = stubs("chat/v1/chat", "google/rpc/status", "google/rpc/error_details")
        self.channel = grpc.insecure_channel(address)
        self.service = services.ChatServiceStub(self.channel)

    def session(self, user):
        return Session(self, user)

    def new_room(self):
        return f"python/{uuid.uuid4()}"

    def detail(self, status, name):
        import google.rpc.error_details_pb2 as details

        for detail in status.details:
            message = getattr(details, name)()
            if detail.Unpack(message):
                return message
        raise Unexpected(f"no {name} among the details of: {status.message}")


class Session:
    """A session. Frames that are received while another one is awaited are kept for later."""

    def __init__(self, chat, user):
        self._pb = chat.pb
        self._outgoing = Queue()
        self._received = []
        self._id = 0
        self._frames = chat.service.Session(iter(self._outgoing.get, None), timeout=DEADLINE)
        welcome = self.request(hello=self._pb.Hello(user=user, client_name="rooms.py")).welcome
        expect(welcome.user, user)

    def request(self, **body):
        """Sends a frame and returns the reply."""
        self._id += 1
        frame_id = self._id
        self._outgoing.put(self._pb.ClientFrame(id=frame_id, **body))
        return self._wait_for(lambda frame: frame.reply_to == frame_id)

    def join(self, room, **start):
        joined = self.request(join=self._pb.Join(room=room, **start)).joined
        expect(joined.room, room)
        return joined

    def send(self, room, text, client_msg_id=None):
        message = self._pb.Send(room=room, text=text, client_msg_id=client_msg_id or uuid.uuid4().bytes)
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
                self._outgoing.put(self._pb.ClientFrame(pong=self._pb.Pong()))
            else:
                self._received.append(frame)
        raise Unexpected(f"the stream ended with {self._frames.code()}")


if __name__ == "__main__":
    run(Rooms, CHECKS, "rooms.py")
