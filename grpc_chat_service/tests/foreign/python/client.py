"""Is the service what a stock Python gRPC client expects?

    python client.py 127.0.0.1:9090

Needs what requirements.txt names. The stubs are made from proto/ at run time; nothing generated is kept.
"""

import importlib
import os
import shutil
import sys
import tempfile
from threading import Semaphore

import grpc
from google.protobuf import wrappers_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_tools import protoc

PROTO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "..", "proto")

# Seconds one call may take. None comes near it; without it a service that stops answering hangs the check.
DEADLINE = 60

# Bytes of the longest encoded message that the service takes: `message_bytes` in its limits.rs.
LIMIT = 65 * 1024


def the_example(chat):
    answers = chat.say([("Sam", "Hi"), ("Ann", "Hey"), ("John", "Hello")])
    expect([answer.value for answer in answers], ["Sam: Hi", "Ann: Hey", "John: Hello"])
    expect(answers.code(), grpc.StatusCode.OK)


def one_at_a_time(chat):
    """Each answer comes before the next message is sent: nobody waits for a buffer to fill."""
    asked = []
    read = Semaphore(0)

    def talk():
        for number in range(1_000):
            asked.append(number)
            yield "Ann", str(number)
            # The library asks for the next message ahead of time; this waits until the answer was read.
            read.acquire()

    answers = chat.say(talk())
    for number in range(1_000):
        expect(next(answers).value, f"Ann: {number}")
        expect(len(asked), number + 1)
        read.release()
    expect(list(answers), [])
    expect(answers.code(), grpc.StatusCode.OK)


def many_at_once(chat):
    answers = chat.say(("Sam", str(number)) for number in range(10_000))
    expect([answer.value for answer in answers], [f"Sam: {number}" for number in range(10_000)])
    expect(answers.code(), grpc.StatusCode.OK)


def nothing_in_the_fields(chat):
    answers = chat.say([("", ""), ("Sam", ""), ("", "Hi")])
    expect([answer.value for answer in answers], [": ", "Sam: ", ": Hi"])


def nothing_at_all(chat):
    answers = chat.say([])
    expect(list(answers), [])
    expect(answers.code(), grpc.StatusCode.OK)


def too_long(chat):
    """The longest message is answered, one byte more is refused, and the connection serves the next call."""
    header = 4  # the field's number and a length of three bytes
    longest = "x" * (LIMIT - header)
    expect([answer.value for answer in chat.say([("", longest)])], [": " + longest])

    refused = chat.say([("", longest + "x")])
    try:
        answered = list(refused)
    except grpc.RpcError as error:
        expect(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
    else:
        raise Unexpected(f"expected RESOURCE_EXHAUSTED, got OK and {len(answered)} answers")
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
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=DEADLINE)
    except grpc.RpcError as error:
        expect(error.code(), grpc.StatusCode.NOT_FOUND)
    else:
        raise Unexpected("a service that does not exist was said to be healthy")


def reflection(chat):
    """v1 and v1alpha are the same messages under two names, and clients in the field know one or the other."""
    for version in "v1", "v1alpha":
        ask = chat.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="Chat"),
        ]
        listed, described = ask(iter(requests), timeout=DEADLINE)
        names = {service.name for service in listed.list_services_response.service}
        missing = {"Chat", "chat.v1.ChatService", "grpc.health.v1.Health"} - names
        if missing:
            raise Unexpected(f"{version} does not list {sorted(missing)}, only {sorted(names)}")
        if not described.file_descriptor_response.file_descriptor_proto:
            raise Unexpected(f"{version} does not describe Chat: {described.error_response.error_message}")


CHECKS = [
    the_example,
    one_at_a_time,
    many_at_once,
    nothing_in_the_fields,
    nothing_at_all,
    too_long,
    health,
    reflection,
]


class Chat:
    """The example's service, as `(name, message)` pairs in and the library's call object out."""

    def __init__(self, address):
        messages, services = stubs("grpc_bidirectional_streaming")
        self._message = messages.ChatMessage
        self.channel = grpc.insecure_channel(address)
        self._stub = services.ChatStub(self.channel)

    def say(self, said):
        messages = (self._message(name=name, message=message) for name, message in said)
        return self._stub.chat(messages, timeout=DEADLINE)


class Unexpected(Exception):
    pass


def expect(got, wanted):
    if got != wanted:
        raise Unexpected(f"expected {shortened(wanted)}, got {shortened(got)}")


def shortened(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


def stubs(name, *imported):
    """The modules that grpc_tools makes of proto/<name>.proto: the messages and the services. What it imports, other
    than the well-known types, is made with it."""
    folder = tempfile.mkdtemp()
    try:
        well_known = os.path.join(os.path.dirname(protoc.__file__), "_proto")
        options = [f"-I{PROTO}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
        if protoc.main(["protoc", *options, f"{name}.proto", *(f"{other}.proto" for other in imported)]) != 0:
            raise Unexpected(f"protoc refuses proto/{name}.proto")
        sys.path.insert(0, folder)
        # `google` is also where the well-known types are; ours are found beside them.
        import google

        google.__path__.append(os.path.join(folder, "google"))
        for other in imported:
            importlib.import_module(f"{other.replace('/', '.')}_pb2")
        module = name.replace("/", ".")
        return importlib.import_module(f"{module}_pb2"), importlib.import_module(f"{module}_pb2_grpc")
    finally:
        sys.path.remove(folder)
        shutil.rmtree(folder)


def run(connect, checks, name):
    if len(sys.argv) != 2:
        sys.exit(f"usage: {name} ADDRESS")
    chat = connect(sys.argv[1])
    for check in checks:
        try:
            check(chat)
        except grpc.RpcError as error:
            sys.exit(f"python: {check.__name__}: the call ended with {error.code().name}: {error.details()}")
        except StopIteration:
            sys.exit(f"python: {check.__name__}: the call ended before all was answered")
        except Unexpected as error:
            sys.exit(f"python: {check.__name__}: {error}")
        print(f"python: {check.__name__}: ok")
    chat.channel.close()


if __name__ == "__main__":
    run(Chat, CHECKS, "client.py")
