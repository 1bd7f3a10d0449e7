// Checks rooms with a stock Node gRPC client that reads 64-bit integers as numbers (`longs: Number`). A number is exact
// below 2^53, and so are all epochs and sequence numbers.
//
//   npm ci && node rooms.js 127.0.0.1:9090
"use strict";

const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { DEADLINE, PROTO, fail, run } = require("./client.js");

async function aSenderReceivesItsAckAndItsEvent(chat) {
  const room = newRoom();
  const sam = await chat.session("sam");
  const { verdict } = await sam.join(room);
  assert.equal(verdict, "VERDICT_LIVE");
  const ack = await sam.send(room, "Hi, 漢字");
  const { event } = await sam.next((frame) => frame.event);
  assert.deepEqual(
    { seq: event.seq, id: event.client_msg_id, sender: event.sender, text: event.posted.text },
    { seq: ack.seq, id: ack.client_msg_id, sender: "sam", text: "Hi, 漢字" },
  );
  await sam.finish();
}

async function aCursorOfNumbersIsRecovered(chat) {
  const room = newRoom();
  const sam = await chat.session("sam");
  const { epoch } = await sam.join(room);
  assert.equal(Number.isSafeInteger(epoch), true, `expected an epoch below 2^53, got ${epoch}`);
  const { seq, client_msg_id } = await sam.send(room, "seen");
  await sam.finish();

  const ann = await chat.session("ann");
  await ann.send(room, "missed");
  const { verdict, reset_reason } = await ann.join(room, { epoch, seq, client_msg_id });
  assert.deepEqual({ verdict, reset_reason }, { verdict: "VERDICT_RECOVERED", reset_reason: "RESET_REASON_UNSPECIFIED" });
  const { event } = await ann.next((frame) => frame.event);
  assert.deepEqual([event.prev_seq, event.posted.text], [seq, "missed"]);
  await ann.finish();
}

async function anErrorHasAReason(chat) {
  const sam = await chat.session("sam");
  const { error } = await sam.request({ leave: { room: "elsewhere" } });
  assert.equal(error?.status.code, grpc.status.FAILED_PRECONDITION);
  assert.equal(chat.reason(error.status), "NOT_JOINED");
  await sam.finish();
}

async function aMessageIsPostedWithoutASession(chat) {
  const room = newRoom();
  const message = { user: "bot", room, text: "Deployed", client_msg_id: newId() };
  const stored = await chat.call("SendMessage", message);
  const repeat = await chat.call("SendMessage", message);
  assert.deepEqual([repeat.seq, repeat.duplicate], [stored.seq, true]);
  const { events, epoch } = await chat.call("ListMessages", { room });
  assert.deepEqual(events.map(({ sender, posted }) => [sender, posted.text]), [["bot", "Deployed"]]);
  assert.equal(epoch, stored.epoch);
}

const CHECKS = [
  aSenderReceivesItsAckAndItsEvent,
  aCursorOfNumbersIsRecovered,
  anErrorHasAReason,
  aMessageIsPostedWithoutASession,
];

// A client of chat.v1.
class Rooms {
  constructor(address) {
    const options = { includeDirs: [PROTO], keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true };
    const loaded = loader.loadSync(["chat/v1/chat.proto", "google/rpc/error_details.proto"], options);
    const { ChatService } = grpc.loadPackageDefinition(loaded).chat.v1;
    this.errorInfo = loaded["google.rpc.ErrorInfo"];
    this.client = new ChatService(address, grpc.credentials.createInsecure());
  }

  // Opens a session and says hello.
  async session(user) {
    const session = new Session(this.client.Session({ deadline: Date.now() + DEADLINE }));
    const { welcome } = await session.request({ hello: { user, client_name: "rooms.js" } });
    assert.equal(welcome?.user, user);
    return session;
  }

  // Makes a unary call.
  call(method, request) {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + DEADLINE };
      this.client[method](request, options, (error, reply) => (error ? reject(error) : resolve(reply)));
    });
  }

  // Returns the reason in a status's ErrorInfo.
  reason(status) {
    const info = status.details.find(({ type_url }) => type_url.endsWith("/google.rpc.ErrorInfo"));
    return info && this.errorInfo.deserialize(info.value).reason;
  }
}

// A session. Frames that are received while another one is awaited are kept for later.
class Session {
  constructor(stream) {
    this.stream = stream;
    this.frames = stream[Symbol.asyncIterator]();
    this.received = [];
    this.id = 0;
  }

  // Sends a frame and returns the reply.
  async request(body) {
    const id = ++this.id;
    this.stream.write({ id, ...body });
    return this.next((frame) => frame.reply_to === id);
  }

  // Joins a room. Without a cursor, delivery begins with the next event.
  async join(room, after) {
    const { joined } = await this.request({ join: { room, after } });
    assert.equal(joined?.room, room);
    return joined;
  }

  // Posts a message and returns its Ack.
  async send(room, text) {
    const { ack } = await this.request({ send: { room, text, client_msg_id: newId() } });
    assert.equal(ack?.room, room);
    return ack;
  }

  // Returns the first frame that is wanted. Replies to pings.
  async next(wanted) {
    const index = this.received.findIndex(wanted);
    if (index >= 0) {
      return this.received.splice(index, 1)[0];
    }
    for (;;) {
      const { value: frame, done } = await this.frames.next();
      assert.equal(done, false, "expected another frame, got the end of the stream");
      if (frame.ping) {
        this.stream.write({ pong: {} });
      }
      if (wanted(frame)) {
        return frame;
      }
      this.received.push(frame);
    }
  }

  // Half-closes, and reads the stream to its end. A status other than OK is thrown.
  async finish() {
    this.stream.end();
    while (!(await this.frames.next()).done);
  }
}

function newId() {
  return Buffer.from(randomUUID().replaceAll("-", ""), "hex");
}

function newRoom() {
  return `node/${randomUUID()}`;
}

run((address) => new Rooms(address), CHECKS).catch(fail);
