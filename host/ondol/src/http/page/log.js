// How messages, events and what is not sent yet are drawn. All that users wrote goes in as text, never as markup.
// Knows nothing of where they come from.

import { put, putDate } from "./language.js";

const TOGETHER_MS = 3 * 60_000;
const SHOWN_MAX = 1_000;
const NEAR_END_PX = 80;

export class Log {
  #frame = document.getElementById("log");
  #list = document.getElementById("messages");
  #pending = document.getElementById("pending");
  #newer = document.getElementById("newer");
  #older = document.getElementById("older");
  #items = new Map(); // what is not sent yet, by client id
  #deleted = new Set(); // by seq; a page of history may be read while its messages are deleted
  #following = true; // the end is in view, and stays there when the window or the status line changes the height

  #resized = new ResizeObserver(() => {
    if (this.#following) this.toEnd();
  });

  // `actions` are what a failed message offers: `{retry, edit, discard}`, each called with the item.
  constructor(me, actions) {
    this.me = me;
    this.actions = actions;
    this.#newer.onclick = () => this.toEnd();
    this.#frame.onscroll = () => {
      this.#following = this.#atEnd();
      if (this.#following) this.#newer.hidden = true;
    };
    this.#resized.observe(this.#frame);
    this.#list.replaceChildren();
    this.#pending.replaceChildren();
    this.#newer.hidden = this.#older.hidden = true;
  }

  // Lets go of the screen.
  close() {
    this.#resized.disconnect();
  }

  // The seq of the oldest message that is shown, or null.
  get first() {
    const oldest = [...this.#list.children].find((row) => row.dataset.seq);
    return oldest ? Number(oldest.dataset.seq) : null;
  }

  // Fills an empty log. It is read out as one, not message by message.
  fill(messages) {
    this.#frame.setAttribute("aria-busy", "true");
    this.#deleted.clear(); // after a restore the numbers mean other messages
    this.#list.replaceChildren(...this.#rows(messages));
    for (const row of this.#list.children) arrange(row);
    this.#offerOlder();
    this.toEnd();
    requestAnimationFrame(() => this.#frame.removeAttribute("aria-busy"));
  }

  // Puts older ones above; what is being read stays where it is.
  prepend(messages) {
    const fromEnd = this.#frame.scrollHeight - this.#frame.scrollTop;
    const seam = this.#list.firstElementChild;
    this.#frame.setAttribute("aria-busy", "true");
    this.#list.prepend(...this.#rows(messages));
    for (let row = this.#list.firstElementChild; row && row !== seam; row = row.nextElementSibling) arrange(row);
    if (seam) arrange(seam);
    this.#offerOlder(messages.length > 0);
    this.#frame.scrollTop = this.#frame.scrollHeight - fromEnd;
    requestAnimationFrame(() => this.#frame.removeAttribute("aria-busy"));
  }

  add(message) {
    const row = this.#row(message);
    const mine = row.classList.contains("mine");
    if (!mine) row.classList.add("fresh");
    this.#append(row, mine);
  }

  // Takes a deleted one out.
  remove(seq) {
    this.#deleted.add(seq);
    const row = this.#list.querySelector(`[data-seq="${Number(seq)}"]`);
    if (!row) return;
    const next = row.nextElementSibling;
    row.remove();
    if (next) arrange(next);
    else this.#list.lastElementChild?.classList.remove("same-minute");
  }

  // A line in the middle: who came, who left, what went wrong.
  event(line, bad = false) {
    const row = make("li", bad ? "event bad" : "event");
    row.append(make("p", "what", line));
    row.dataset.at = Date.now();
    this.#append(row);
  }

  // One of our own on its way.
  outgoing(item) {
    const old = this.#items.get(item.clientId);
    if (item.state === "done") {
      old?.remove();
      this.#items.delete(item.clientId);
      return;
    }
    const row = make("li", `said mine ${item.state}`);
    const body = make("div", "body");
    body.append(said(item.text), make("p", "state", item.problem ?? { key: "sending" }));
    if (item.state === "failed") {
      row.setAttribute("role", "alert");
      body.append(this.#offers(item));
    }
    row.append(body);
    if (old) old.replaceWith(row);
    else this.#pending.append(row);
    this.#items.set(item.clientId, row);
    this.toEnd();
  }

  toEnd() {
    this.#following = true;
    this.#frame.scrollTop = this.#frame.scrollHeight;
    this.#newer.hidden = true;
  }

  #offers(item) {
    const offers = make("div", "actions");
    const offer = (line, action) => {
      const button = make("button", "quiet", line);
      button.type = "button";
      button.onclick = () => action(item);
      offers.append(button);
    };
    if (item.worthRetrying) offer({ key: "send_again" }, this.actions.retry);
    offer({ key: "edit" }, this.actions.edit);
    offer({ key: "discard" }, this.actions.discard);
    return offers;
  }

  // The first messages of a room may be gone: a page without any is the end.
  #offerOlder(more = true) {
    this.#older.hidden = !(more && this.first > 1);
  }

  #atEnd() {
    return this.#frame.scrollHeight - this.#frame.scrollTop - this.#frame.clientHeight < NEAR_END_PX;
  }

  #append(row, follow = false) {
    const stay = !follow && !this.#following;
    this.#list.append(row);
    arrange(row);
    if (stay) {
      this.#newer.hidden = !row.dataset.seq && this.#newer.hidden;
      return;
    }
    // A tab that stays open for days does not grow without end; the button above brings back what was let go.
    if (this.#list.childElementCount > SHOWN_MAX) {
      while (this.#list.childElementCount > SHOWN_MAX) this.#list.firstElementChild.remove();
      this.#offerOlder();
    }
    this.toEnd();
  }

  #rows(messages) {
    return messages.filter(({ seq }) => !this.#deleted.has(seq)).map((message) => this.#row(message));
  }

  #row(message) {
    const mine = message.sender === this.me.email;
    const at = new Date(message.created_at ?? Date.now());
    const row = make("li", mine ? "said mine" : "said");
    if (message.seq) row.dataset.seq = message.seq;
    row.dataset.by = `${message.sender}\n${message.nickname}`;
    row.dataset.at = at.getTime();
    const by = make("p", "by");
    by.append(make("bdi", "", mine ? { key: "you" } : String(message.nickname ?? "")));
    const time = make("time", "clock");
    putDate(time, at, "clock");
    const body = make("div", "body");
    body.append(by, said(message.message), time);
    row.append(face(message.nickname, message.profile_picture_url, message.sender), body);
    return row;
  }
}

// A user's picture, or the first letter of the name where there is none or it does not load.
export function face(name, address, key) {
  const letter = [...String(name ?? "")][0] ?? "·";
  const round = make("span", `face tone-${tone(String(key))}`, letter.toUpperCase());
  round.setAttribute("aria-hidden", "true");
  if (address) {
    const picture = new Image();
    picture.alt = "";
    picture.referrerPolicy = "no-referrer";
    picture.onload = () => round.replaceChildren(picture);
    picture.src = address;
  }
  return round;
}

// Marks whether a row opens a day or a turn, by the row above it, and whether that one can do without its time.
function arrange(row) {
  const above = row.previousElementSibling;
  const sameUser = above && row.dataset.by && above.dataset.by === row.dataset.by;
  const next = sameUser && row.dataset.at - above.dataset.at < TOGETHER_MS;
  const newDay = !above || day(above) !== day(row);
  row.querySelector(".day")?.remove();
  if (newDay) {
    const divider = make("time", "day");
    putDate(divider, new Date(Number(row.dataset.at)), "day");
    row.prepend(divider);
  }
  row.classList.toggle("first", newDay || !next);
  above?.classList.toggle("same-minute", Boolean(next) && !newDay && minute(above) === minute(row));
}

function minute(row) {
  return Math.floor(row.dataset.at / 60_000);
}

function day(row) {
  return new Date(Number(row.dataset.at)).toDateString();
}

function said(text) {
  const shown = make("div", "text", String(text));
  shown.dir = "auto";
  return shown;
}

function make(tag, className, line) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (line !== undefined) put(element, line);
  return element;
}

function tone(key) {
  let sum = 0;
  for (const letter of key) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
  return sum % 7;
}
