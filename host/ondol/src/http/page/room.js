// The room that is open: what was said, the line that tells how the connection is, and where one writes.
// Knows nothing of sockets and requests: that is the session's.

import { Log } from "./log.js";
import { put } from "./language.js";
import { Session } from "./session.js";

const OLDER = 50;

const id = (name) => document.getElementById(name);
const field = id("text");

export class RoomView {
  room = null;
  #session = null;
  #log = null;
  #up = false;
  #composing = false;
  #sendWhenComposed = false;
  #unread = 0;
  #name = ""; // a line
  #entitle;

  // `entitle` is called with the window's title, as a line.
  constructor(entitle) {
    this.#entitle = entitle;
    id("composer").onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    field.onkeydown = (event) => this.#key(event);
    field.oninput = () => this.#written();
    field.addEventListener("compositionstart", () => { this.#composing = true; });
    field.addEventListener("compositionend", () => this.#composed());
    id("older").onclick = () => this.#older();
    id("reconnect").onclick = () => this.#session?.reconnect();
    document.addEventListener("visibilitychange", () => this.#title(0));
  }

  enter(room, me, name) {
    if (this.room === room) return;
    this.leave();
    this.room = room;
    id("no-room").hidden = true;
    id("talk").hidden = false;
    id("empty-room").hidden = true;
    this.#call(name ?? { key: "room_number", number: room });
    field.value = drafts(room);
    this.#log = new Log(me, {
      retry: (item) => this.#session.retry(item.clientId),
      discard: (item) => this.#give(item, false),
      edit: (item) => this.#give(item, true),
    });
    const log = this.#log;
    this.#session = new Session(room, me, {
      entered: (found, latest) => this.#entered(found, latest),
      message: (message) => {
        id("empty-room").hidden = true;
        log.add(message);
        if (document.hidden) this.#title(this.#unread + 1);
      },
      deleted: (seq) => log.remove(seq),
      event: (kind, who) => log.event(kind === "join" ? { key: "joined", who } : { key: "left", who }),
      outgoing: (item) => {
        id("empty-room").hidden = true;
        log.outgoing(item);
      },
      problem: (line) => log.event(line, true),
      link: (state, line) => this.#link(state, line),
    });
    this.#written();
    // On a phone the keyboard would cover what was said.
    (matchMedia("(pointer: coarse)").matches ? id("room-title") : field).focus();
  }

  leave() {
    this.#session?.stop();
    this.#log?.close();
    this.#session = this.#log = this.room = null;
    this.#up = false;
    document.body.dataset.link = "none";
    id("talk").hidden = true;
    id("no-room").hidden = false;
    this.#entitle({ key: "title" });
  }

  #entered(found, latest) {
    this.#call(found.name);
    this.#log.fill(latest);
    id("empty-room").hidden = latest.length > 0;
  }

  #link(state, line) {
    this.#up = state === "up";
    document.body.dataset.link = state === "connecting" ? "down" : state;
    put(id("status"), line);
    id("reconnect").hidden = state !== "down";
    this.#written();
  }

  async #older() {
    const button = id("older");
    const log = this.#log;
    button.disabled = true;
    try {
      const older = await this.#session.older(log.first, OLDER);
      if (log !== this.#log) return;
      log.prepend(older);
      if (button.hidden) id("log").focus({ preventScroll: true });
    } catch {
      if (log === this.#log) log.event({ key: "older_failed" }, true);
    } finally {
      button.disabled = false;
    }
  }

  // Enter sends, Shift and Enter begins a line. While a syllable is being composed Enter belongs to it; Safari ends the
  // composition before it reports that key, and marks it with 229.
  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.#submit();
  }

  #submit() {
    // A button that takes no focus leaves the syllable open: it is finished first.
    if (this.#composing) {
      this.#sendWhenComposed = true;
      field.blur();
      return;
    }
    if (!this.#up || !field.value.trim() || !this.#session.say(field.value)) return;
    field.value = "";
    this.#written();
    field.focus();
  }

  #composed() {
    this.#composing = false;
    if (!this.#sendWhenComposed) return;
    this.#sendWhenComposed = false;
    setTimeout(() => this.#submit());
  }

  // Takes a failed message back, to write it anew or to forget it.
  #give(item, edit) {
    this.#session.discard(item.clientId);
    if (edit) field.value = field.value ? `${item.text}\n${field.value}` : item.text;
    this.#written();
    field.focus();
  }

  #written() {
    id("send").disabled = !this.#up;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
    if (this.room) drafts(this.room, field.value);
  }

  #call(name) {
    this.#name = name;
    put(id("room-title"), name);
    this.#title(0);
  }

  #title(unread) {
    this.#unread = unread;
    if (!this.room) return;
    this.#entitle(unread ? { key: "title_unread", unread, name: this.#name } : { key: "title_room", name: this.#name });
  }
}

// What was written in a room and not sent, which a reload should not lose.
function drafts(room, text) {
  const key = `ondol.draft.${room}`;
  try {
    if (text) sessionStorage.setItem(key, text);
    else if (text === "") sessionStorage.removeItem(key);
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}
