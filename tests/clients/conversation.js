// The conversation of tests/stories/foreign_clients.rs with Node's `ws`. The argument is the address of a room.
//
// The text of the message in fragments is cut within a character.

'use strict';

const WebSocket = require('ws');

const address = process.argv[2];
const tell = (...words) => console.log(...words);

/** A socket whose frames wait until they are asked for. */
async function open() {
  const socket = new WebSocket(address);
  const heard = [];
  let wake = () => {};
  const keep = (...frame) => {
    heard.push(frame);
    wake();
  };
  socket.on('message', (bytes) => keep('message', JSON.parse(bytes)));
  socket.on('pong', (bytes) => keep('pong', bytes.toString()));
  socket.on('close', (code) => keep('closed', code));
  socket.on('error', (error) => keep('error', error.message));
  const next = async () => {
    while (heard.length === 0) await new Promise((resolve) => { wake = resolve; });
    return heard.shift();
  };
  const hear = async () => {
    const [kind, frame] = await next();
    if (kind === 'message') tell(frame.type, frame.code ?? frame.message ?? frame.username);
    else tell(kind, frame);
  };
  const say = async (text, inFragments = false) => {
    const octets = Buffer.from(JSON.stringify({ type: 'chat.message', message: text }));
    const cut = octets.indexOf(text) + 1;
    if (inFragments) {
      socket.send(octets.subarray(0, cut), { fin: false, binary: false });
      socket.send(octets.subarray(cut), { fin: true, binary: false });
    } else socket.send(octets, { binary: false });
    await hear();
  };
  return { socket, next, hear, say };
}

async function main() {
  const first = await open();
  await first.hear();
  await first.say('안녕하세요! ♨');
  await first.say('가'.repeat(2_000));
  first.socket.ping('살아 있니');
  const [kind, payload] = await first.next();
  tell(payload === '살아 있니' ? kind : `${kind} of ${payload}`);
  first.socket.send(Buffer.from([0x00, 0xff]));
  await first.hear();
  await first.say('조각난 말', true);
  await first.hear();
  first.socket.close(1000, '안녕히 계세요');
  await first.hear();

  const second = await open();
  await second.hear();
  await second.hear();
  await second.hear();
}

main();
