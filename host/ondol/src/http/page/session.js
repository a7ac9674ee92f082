// One user in one room, over as many sockets as it takes. Messages come out in the order of their `seq`, each once: a
// socket resumes where the one before it ended. A message of our own is sent until it is answered.
// Knows nothing of the screen: it reports to `on`.
//
// on.entered(room, messages)  the first time, and again when what was missed is not to be had
// on.message(message)         the next one
// on.deleted(seq)             an operator deleted a message
// on.event(kind, name)        "join" or "leave"
// on.outgoing(item)           one of our own has changed: {clientId, text, state, problem}
// on.problem(line)            the server refused something that is not in `outgoing`
// on.link(state, line)        "connecting", "up", "down" (will try again), "ended" (will not)
//
// A line is a text of the page by its key, so that it is shown in the language of the moment.

import { Refused, messages, room, socketAddress, socketProtocols, whyRefused } from "./server.js";
import { refusal } from "./texts.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 20_000;
const ASKED_WAIT_MS_MAX = 60_000;
const ANSWER_MS = 10_000;
const OPEN_MS = 15_000;
const OUTGOING_MAX = 50;

// What a page of history holds of use here: the events handler may have written it, as it writes live events.
const isMessage = (shown) => (shown?.type ?? "chat.message") === "chat.message" && shown !== null;

const NO_ROOM = { key: "no_room" };
const OVER = { 4001: { key: "error.not_authenticated" }, 4003: NO_ROOM };
const AGAIN = { 1001: { key: "restarting" }, 1008: { key: "too_slow" }, 4008: { key: "full" }, 4029: { key: "error.rate_limited" } };

export class Session {
  #room;
  #me;
  #on;
  #socket = null;
  #live = false; // the room is shown: events go straight through
  #held = []; // events that wait for it
  #last = null; // the seq of the newest message shown
  #epoch; // the history that it is a number of
  #outgoing = new Map(); // by client id, in the order in which they were said
  #asked = null; // the one that waits for its answer; the others wait for it
  #asking; // its timer
  #attempt = 0;
  #again; // the timer of the next attempt
  #ended = false;

  constructor(room, me, on) {
    this.#room = room;
    this.#me = me;
    this.#on = on;
    window.addEventListener("online", this.reconnect);
    window.addEventListener("offline", this.#offline);
    window.addEventListener("pagehide", this.#hidden);
    this.#connect();
  }

  // Leaves for good.
  stop() {
    this.#on = {};
    this.#end();
  }

  // Takes a message, if it can be sent now; else the text is still the caller's.
  say(text) {
    if (!this.#live || this.#outgoing.size >= OUTGOING_MAX) return false;
    const item = { clientId: newId(), text, state: "waiting", problem: null };
    this.#outgoing.set(item.clientId, item);
    this.#tell("outgoing", item);
    this.#send();
    return true;
  }

  // Sends one that failed once more. Its id is the same, so the server stores it once.
  retry(clientId) {
    const item = this.#outgoing.get(clientId);
    if (item?.state !== "failed") return;
    this.#change(item, "waiting");
    this.#send();
  }

  // Gives up one that failed.
  discard(clientId) {
    const item = this.#outgoing.get(clientId);
    if (item?.state === "failed") this.#settle(item);
  }

  // The messages before `seq`, oldest first.
  async older(seq, limit) {
    return (await messages(this.#room, { before: seq, limit })).filter(isMessage);
  }

  // Tries now rather than at the end of the wait.
  reconnect = () => {
    if (!this.#ended && !this.#socket) this.#connect();
  };

  #offline = () => {
    if (this.#socket) this.#lost({ key: "offline" });
  };

  // A browser may keep a page that was left, socket and all, for the Back button. Its user has left the room.
  #hidden = () => {
    if (this.#socket) this.#lost({ key: "paused" });
  };

  #tell(what, ...said) {
    this.#on[what]?.(...said);
  }

  #connect() {
    clearTimeout(this.#again);
    this.#tell("link", "connecting", this.#attempt ? { key: "reconnecting" } : { key: "connecting" });
    const known = this.#last === null ? {} : { after: this.#last, epoch: this.#epoch };
    const socket = new WebSocket(socketAddress(this.#room, this.#me, known), socketProtocols());
    let opened = false;
    this.#socket = socket;
    this.#held = [];
    setTimeout(() => {
      if (socket === this.#socket && !opened) this.#lost({ key: "no_answer" });
    }, OPEN_MS);
    socket.onopen = () => {
      opened = true;
      if (this.#last === null) this.#enter(socket);
    };
    socket.onmessage = ({ data }) => {
      const event = parse(data);
      if (!event || socket !== this.#socket) return;
      if (event.type === "chat.sync") this.#resumed(socket, event);
      else if (this.#live) this.#take(event);
      else this.#held.push(event);
    };
    socket.onclose = ({ code, reason }) => this.#closed(socket, opened, code, askedWait(reason));
  }

  // The first event of a socket that resumes. What was missed follows, unless the server cannot say what that is.
  #resumed(socket, { recovered }) {
    if (recovered) this.#goLive();
    else this.#enter(socket);
  }

  // The socket is open before the room is read, so nothing is missed; the seq shows what comes twice.
  async #enter(socket) {
    try {
      const { chat_messages: page, epoch, ...found } = await room(this.#room);
      if (socket !== this.#socket) return;
      const latest = page.filter(isMessage);
      this.#last = latest.at(-1)?.seq ?? found.seq;
      this.#epoch = epoch;
      for (const message of latest) this.#answered(message);
      this.#tell("entered", found, latest);
      this.#goLive();
    } catch (error) {
      if (socket !== this.#socket) return;
      if (error instanceof Refused && error.status === 404) this.#end(NO_ROOM);
      else this.#lost({ key: "messages_failed" });
    }
  }

  #goLive() {
    this.#live = true;
    for (const event of this.#held.splice(0)) this.#take(event);
    this.#attempt = 0;
    this.#tell("link", "up", "");
    this.#send();
  }

  #take(event) {
    if (event.type === "chat.message") {
      this.#show(event);
    } else if (event.type === "chat.user.join" || event.type === "chat.user.leave") {
      this.#tell("event", event.type.slice("chat.user.".length), String(event.username));
    } else if (event.type === "chat.message.deleted") {
      this.#tell("deleted", event.seq);
    } else if (event.type === "error") {
      this.#refused(event);
    }
  }

  // A message without a seq (the events handler decides what is in there) is shown as it comes.
  #show(message) {
    this.#answered(message);
    if (message.seq <= this.#last) return;
    if (message.seq) this.#last = message.seq;
    this.#tell("message", message);
  }

  #answered({ client_id: clientId, sender }) {
    const item = this.#outgoing.get(clientId);
    if (item && sender === this.#me.email) this.#settle(item);
  }

  #refused({ error_type: type, code, field, message }) {
    const item = this.#outgoing.get(this.#asked);
    const line = refusal({ code, field, message: String(message) });
    if (!item) {
      this.#tell("problem", line);
      return;
    }
    this.#done(item);
    this.#change(item, "failed", line, type !== "invalid_request");
    this.#send();
  }

  #send() {
    if (!this.#live || this.#asked) return;
    const item = [...this.#outgoing.values()].find(({ state }) => state === "waiting");
    if (!item) return;
    this.#asked = item.clientId;
    this.#change(item, "sending");
    this.#asking = setTimeout(() => {
      this.#done(item);
      this.#change(item, "failed", { key: "no_answer" }, true);
      this.#send();
    }, ANSWER_MS);
    this.#socket.send(JSON.stringify({ type: "chat.message", message: item.text, client_id: item.clientId }));
  }

  #change(item, state, problem = null, worthRetrying = false) {
    Object.assign(item, { state, problem, worthRetrying });
    this.#tell("outgoing", item);
  }

  #settle(item) {
    this.#outgoing.delete(item.clientId);
    this.#done(item);
    this.#change(item, "done");
    this.#send();
  }

  #done(item) {
    if (this.#asked !== item.clientId) return;
    clearTimeout(this.#asking);
    this.#asked = null;
  }

  async #closed(socket, opened, code, wait) {
    if (socket !== this.#socket) return;
    if (OVER[code]) return this.#end(OVER[code]);
    const refused = opened ? null : await whyRefused(this.#room, this.#me);
    if (socket !== this.#socket) return;
    if (refused && ![429, 503].includes(refused.status)) return this.#end(refused.status === 404 ? NO_ROOM : refused.line);
    this.#lost(AGAIN[code] ?? refused?.line ?? (opened ? { key: "connection_lost" } : { key: "unreachable" }), wait);
  }

  // What was sent and not answered is sent again: it may have been stored, and its id tells the server so.
  #lost(why, asked = null) {
    this.#drop();
    const item = this.#outgoing.get(this.#asked);
    if (item) {
      this.#done(item);
      this.#change(item, "waiting");
    }
    // Waits grow, and each tab waits a time of its own: a restarted server does not meet all of them at once.
    const growing = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#attempt) * (0.5 + Math.random() / 2);
    // A server that stops has a time for each tab. A little more, since one that comes too early waits for longer.
    const wait = asked === null ? growing : asked + Math.random() * 200;
    this.#attempt += 1;
    this.#again = setTimeout(this.reconnect, wait);
    this.#tell("link", "down", { key: "trying_again", why });
  }

  #end(why) {
    this.#ended = true;
    clearTimeout(this.#again);
    clearTimeout(this.#asking);
    window.removeEventListener("online", this.reconnect);
    window.removeEventListener("offline", this.#offline);
    window.removeEventListener("pagehide", this.#hidden);
    this.#drop();
    this.#tell("link", "ended", why);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#live = false;
    this.#held = [];
    socket?.close();
  }
}

// How long the reason in a close frame asks to wait, if it does.
function askedWait(reason) {
  const ms = /retry_after_ms=(\d+)/.exec(reason)?.[1];
  return ms ? Math.min(Number(ms), ASKED_WAIT_MS_MAX) : null;
}

// `crypto.randomUUID` is there only on https and localhost; these bits are there everywhere.
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function parse(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
