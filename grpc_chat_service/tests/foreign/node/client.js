// Is the service what a stock Node gRPC client expects?
//
//   npm ci && node client.js 127.0.0.1:9090
"use strict";

const assert = require("node:assert/strict");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const PROTO = path.join(__dirname, "..", "..", "..", "..", "proto");

// Milliseconds one call may take. None comes near it; without it a service that stops answering hangs the check.
const DEADLINE = 60_000;

// Bytes of the longest encoded message that the service takes: `message_bytes` in its limits.rs.
const LIMIT = 65 * 1024;

async function theExample(chat) {
  const said = [["Sam", "Hi"], ["Ann", "Hey"], ["John", "Hello"]];
  assert.deepEqual(await chat.say(said), { code: grpc.status.OK, answers: ["Sam: Hi", "Ann: Hey", "John: Hello"] });
}

// Each answer comes before the next message is sent: nobody waits for a buffer to fill.
async function oneAtATime(chat) {
  const call = chat.call();
  const answers = call[Symbol.asyncIterator]();
  for (let number = 0; number < 1_000; number++) {
    call.write({ name: "Ann", message: `${number}` });
    const { value } = await answers.next();
    assert.equal(value?.value, `Ann: ${number}`);
  }
  call.end();
  assert.equal((await answers.next()).done, true);
  assert.equal(await call.code, grpc.status.OK);
}

async function manyAtOnce(chat) {
  const numbers = Array.from({ length: 10_000 }, (_, number) => `${number}`);
  const { code, answers } = await chat.say(numbers.map((number) => ["Sam", number]));
  assert.equal(code, grpc.status.OK);
  assert.deepEqual(answers, numbers.map((number) => `Sam: ${number}`));
}

async function nothingInTheFields(chat) {
  const said = [["", ""], ["Sam", ""], ["", "Hi"]];
  assert.deepEqual(await chat.say(said), { code: grpc.status.OK, answers: [": ", "Sam: ", ": Hi"] });
}

async function nothingAtAll(chat) {
  assert.deepEqual(await chat.say([]), { code: grpc.status.OK, answers: [] });
}

// The longest message is answered, one byte more is refused, and the connection serves the next call.
async function tooLong(chat) {
  // The field's number and a length of three bytes; and the empty name, which this library writes out.
  const header = 4 + 2;
  const longest = "x".repeat(LIMIT - header);
  const { code, answers } = await chat.say([["", longest]]);
  assert.equal(code, grpc.status.OK);
  assert.equal(answers.join() === `: ${longest}`, true, "the longest message comes back whole");

  const refused = await chat.say([["", `${longest}x`]]);
  assert.deepEqual(refused, { code: grpc.status.RESOURCE_EXHAUSTED, answers: [] });
  await theExample(chat);
}

const CHECKS = [theExample, oneAtATime, manyAtOnce, nothingInTheFields, nothingAtAll, tooLong];

// The example's service.
class Chat {
  constructor(address) {
    const loaded = loader.loadSync("grpc_bidirectional_streaming.proto", { includeDirs: [PROTO] });
    this.client = new (grpc.loadPackageDefinition(loaded).Chat)(address, grpc.credentials.createInsecure());
  }

  // The library's call object, with a promise of the code it ends with.
  call() {
    const call = this.client.chat({ deadline: Date.now() + DEADLINE });
    call.code = new Promise((resolve) => call.on("status", ({ code }) => resolve(code)));
    // Every error is a status too, and is judged as one.
    call.on("error", () => {});
    return call;
  }

  // Says all of it while reading, then half-closes; `said` is of [name, message] pairs.
  async say(said) {
    const call = this.call();
    const answers = [];
    call.on("data", ({ value }) => answers.push(value));
    for (const [name, message] of said) {
      call.write({ name, message });
    }
    call.end();
    return { code: await call.code, answers };
  }
}

async function main() {
  if (process.argv.length !== 3) {
    throw new Error("usage: client.js ADDRESS");
  }
  const chat = new Chat(process.argv[2]);
  for (const check of CHECKS) {
    try {
      await check(chat);
    } catch (error) {
      throw new Error(`${check.name}: ${error.message}`);
    }
    console.log(`node: ${check.name}: ok`);
  }
  chat.client.close();
}

main().catch((error) => {
  console.error(`node: ${error.message}`);
  process.exit(1);
});
