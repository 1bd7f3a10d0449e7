"""Checks the example, health and reflection against a stock Python gRPC client.

    PYTHONPATH=STUBS python client.py 127.0.0.1:9090

Needs the packages in requirements.txt, and in STUBS what grpcio-tools generates; the README has the command.
"""

import sys
from threading import Semaphore

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from grpc_bidirectional_streaming_pb2 import ChatMessage
from grpc_bidirectional_streaming_pb2_grpc import ChatStub

# The deadline of a call, in seconds: far longer than a call takes, so that a service that stops replying fails the
# check instead of blocking it.
DEADLINE = 60

# The longest encoded message that the service accepts, in bytes: `limits.connection.message_bytes`.
MAX_MESSAGE_BYTES = 65 * 1024


def the_example(chat):
    replies = chat.exchange([("Sam", "Hi"), ("Ann", "Hey"), ("John", "Hello")])
    expect([reply.value for reply in replies], ["Sam: Hi", "Ann: Hey", "John: Hello"])
    expect(replies.code(), grpc.StatusCode.OK)


def one_at_a_time(chat):
    """Each reply arrives before the next message is sent: nothing waits for a buffer to fill."""
    sent = []
    read = Semaphore(0)

    def messages():
        for number in range(1_000):
            sent.append(number)
            yield "Ann", str(number)
            # The library takes the next message ahead of time; this waits until the reply has been read.
            read.acquire()

    replies = chat.exchange(messages())
    for number in range(1_000):
        expect(next(replies).value, f"Ann: {number}")
        expect(len(sent), number + 1)
        read.release()
    expect(list(replies), [])
    expect(replies.code(), grpc.StatusCode.OK)


def many_in_flight(chat):
    replies = chat.exchange(("Sam", str(number)) for number in range(10_000))
    expect([reply.value for reply in replies], [f"Sam: {number}" for number in range(10_000)])
    expect(replies.code(), grpc.StatusCode.OK)


def empty_fields(chat):
    replies = chat.exchange([("", ""), ("Sam", ""), ("", "Hi")])
    expect([reply.value for reply in replies], [": ", "Sam: ", ": Hi"])


def no_messages(chat):
    replies = chat.exchange([])
    expect(list(replies), [])
    expect(replies.code(), grpc.StatusCode.OK)


def message_over_the_limit(chat):
    """The longest message is answered, one byte more is refused, and the connection can still be used."""
    header = 4  # a tag, and a length of three bytes
    longest = "x" * (MAX_MESSAGE_BYTES - header)
    expect([reply.value for reply in chat.exchange([("", longest)])], [": " + longest])

    refused = chat.exchange([("", longest + "x")])
    try:
        replies = list(refused)
    except grpc.RpcError as error:
        expect(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    else:
        raise Unexpected(f"expected RESOURCE_EXHAUSTED, got OK and {len(replies)} replies")
    the_example(chat)


def health(chat):
    stub = health_pb2_grpc.HealthStub(chat.channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in "", "Chat", "chat.v1.ChatService":
        request = health_pb2.HealthCheckRequest(service=service)
        expect(stub.Check(request, timeout=DEADLINE).status, serving)
        watch = stub.Watch(request, timeout=DEADLINE)
        expect(next(watch).status, serving)
        watch.cancel()
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="unknown"), timeout=DEADLINE)
    except grpc.RpcError as error:
        expect(error.code(), grpc.StatusCode.NOT_FOUND)
    else:
        raise Unexpected("expected NOT_FOUND for the health of an unknown service, got OK")


def reflection(chat):
    """v1 and v1alpha have the same messages under two names; a client uses one or the other."""
    for version in "v1", "v1alpha":
        method = chat.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="Chat"),
        ]
        listed, described = method(iter(requests), timeout=DEADLINE)
        names = {service.name for service in listed.list_services_response.service}
        missing = {"Chat", "chat.v1.ChatService", "grpc.health.v1.Health"} - names
        if missing:
            raise Unexpected(f"{version} does not list {sorted(missing)}, only {sorted(names)}")
        if not described.file_descriptor_response.file_descriptor_proto:
            raise Unexpected(f"{version} does not describe Chat: {described.error_response.error_message}")


CHECKS = [
    the_example,
    one_at_a_time,
    many_in_flight,
    empty_fields,
    no_messages,
    message_over_the_limit,
    health,
    reflection,
]


class Chat:
    """A client of the example."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self._stub = ChatStub(self.channel)

    def exchange(self, pairs):
        """Sends `(name, message)` pairs. Returns the library's call object, which iterates over the replies."""
        messages = (ChatMessage(name=name, message=message) for name, message in pairs)
        return self._stub.chat(messages, timeout=DEADLINE)


class Unexpected(Exception):
    """A check has failed."""


def expect(got, wanted):
    if got != wanted:
        raise Unexpected(f"expected {shortened(wanted)}, got {shortened(got)}")


def shortened(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


def run(connect, checks, name):
    """Connects to the address on the command line, and exits with a message at the first check that fails."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {name} ADDRESS")
    chat = connect(sys.argv[1])
    for check in checks:
        try:
            check(chat)
        except grpc.RpcError as error:
            sys.exit(f"python: {check.__name__}: the call ended with {error.code().name}: {error.details()}")
        except StopIteration:
            sys.exit(f"python: {check.__name__}: the call ended before every message was answered")
        except Unexpected as error:
            sys.exit(f"python: {check.__name__}: {error}")
        print(f"python: {check.__name__}: ok")
    chat.channel.close()


if __name__ == "__main__":
    run(Chat, CHECKS, "client.py")
