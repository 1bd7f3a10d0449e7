// Checks the example against a stock Node gRPC client.
//
//   npm ci && node client.js 127.0.0.1:9090
"use strict";

const assert = require("node:assert/strict");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const PROTO = path.join(__dirname, "..", "..", "..", "..", "proto");

// The deadline of a call, in milliseconds: far longer than a call takes, so that a service that stops replying fails
// the check instead of blocking it.
const DEADLINE = 60_000;

// The longest encoded message that the service accepts, in bytes: `limits.connection.message_bytes`.
const MAX_MESSAGE_BYTES = 65 * 1024;

async function theExample(chat) {
  const messages = [["Sam", "Hi"], ["Ann", "Hey"], ["John", "Hello"]];
  assert.deepEqual(await chat.exchange(messages), {
    code: grpc.status.OK,
    replies: ["Sam: Hi", "Ann: Hey", "John: Hello"],
  });
}

// Each reply arrives before the next message is sent: nothing waits for a buffer to fill.
async function oneAtATime(chat) {
  const call = chat.call();
  const replies = call[Symbol.asyncIterator]();
  for (let number = 0; number < 1_000; number++) {
    call.write({ name: "Ann", message: `${number}` });
    const { value } = await replies.next();
    assert.equal(value?.value, `Ann: ${number}`);
  }
  call.end();
  assert.equal((await replies.next()).done, true);
  assert.equal(await call.code, grpc.status.OK);
}

async function manyInFlight(chat) {
  const numbers = Array.from({ length: 10_000 }, (_, number) => `${number}`);
  const { code, replies } = await chat.exchange(numbers.map((number) => ["Sam", number]));
  assert.equal(code, grpc.status.OK);
  assert.deepEqual(replies, numbers.map((number) => `Sam: ${number}`));
}

async function emptyFields(chat) {
  const messages = [["", ""], ["Sam", ""], ["", "Hi"]];
  assert.deepEqual(await chat.exchange(messages), { code: grpc.status.OK, replies: [": ", "Sam: ", ": Hi"] });
}

async function noMessages(chat) {
  assert.deepEqual(await chat.exchange([]), { code: grpc.status.OK, replies: [] });
}

// The longest message is answered, one byte more is refused, and the connection can still be used.
async function messageOverTheLimit(chat) {
  // The text has a tag and a length of three bytes; the empty name, which this library encodes, has a tag and a length.
  const header = 4 + 2;
  const longest = "x".repeat(MAX_MESSAGE_BYTES - header);
  const { code, replies } = await chat.exchange([["", longest]]);
  assert.equal(code, grpc.status.OK);
  assert.equal(replies.join() === `: ${longest}`, true, "the reply to the longest message differs");

  const refused = await chat.exchange([["", `${longest}x`]]);
  assert.deepEqual(refused, { code: grpc.status.RESOURCE_EXHAUSTED, replies: [] });
  await theExample(chat);
}

const CHECKS = [theExample, oneAtATime, manyInFlight, emptyFields, noMessages, messageOverTheLimit];

// A client of the example.
class Chat {
  constructor(address) {
    const loaded = loader.loadSync("grpc_bidirectional_streaming.proto", { includeDirs: [PROTO] });
    this.client = new (grpc.loadPackageDefinition(loaded).Chat)(address, grpc.credentials.createInsecure());
  }

  // Opens a call. Returns the library's call object, with a promise of the status code with which it ends.
  call() {
    const call = this.client.chat({ deadline: Date.now() + DEADLINE });
    call.code = new Promise((resolve) => call.on("status", ({ code }) => resolve(code)));
    // Without a listener an error would be thrown; its status is in `code`.
    call.on("error", () => {});
    return call;
  }

  // Sends [name, message] pairs while reading, then half-closes. Returns the replies and the status code.
  async exchange(messages) {
    const call = this.call();
    const replies = [];
    call.on("data", ({ value }) => replies.push(value));
    for (const [name, message] of messages) {
      call.write({ name, message });
    }
    call.end();
    return { code: await call.code, replies };
  }
}

// Runs the checks with a client of the service at the address on the command line, and exits at the first that fails.
async function run(connect, checks) {
  if (process.argv.length !== 3) {
    throw new Error(`usage: ${path.basename(process.argv[1])} ADDRESS`);
  }
  const chat = connect(process.argv[2]);
  for (const check of checks) {
    try {
      await check(chat);
    } catch (error) {
      throw new Error(`${check.name}: ${error.message}`);
    }
    console.log(`node: ${check.name}: ok`);
  }
  chat.client.close();
}

function fail(error) {
  console.error(`node: ${error.message}`);
  process.exit(1);
}

module.exports = { DEADLINE, PROTO, fail, run };

if (require.main === module) {
  run((address) => new Chat(address), CHECKS).catch(fail);
}
