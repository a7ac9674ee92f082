// The list of rooms, page by page, and the form that makes a new one.
// Knows nothing of what is said in them.

import { put } from "./language.js";
import { createRoom, rooms } from "./server.js";

const LOOK_AGAIN_MS = 15_000;

const id = (name) => document.getElementById(name);

export class RoomList {
  #me = null;
  #choose;
  #known = new Map(); // every room that is listed, by id
  #next = null; // where the next page begins; null when all are here
  #newest = null; // the last room of the last page
  #current = null;
  #timer;
  #busy = false;

  // `choose` is called with a room that was just made.
  constructor(choose) {
    this.#choose = choose;
    id("create").onsubmit = (event) => {
      event.preventDefault();
      this.#create();
    };
    id("rooms-more").onclick = () => this.#load(this.#next);
    document.addEventListener("visibilitychange", () => this.#look());
  }

  start(me) {
    this.#me = me;
    this.#load(null);
    this.#timer = setInterval(() => this.#look(), LOOK_AGAIN_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#me = null;
    this.#known.clear();
    this.#next = this.#newest = null;
    id("room-list").replaceChildren();
  }

  // Shows which room is open (null: none).
  mark(room) {
    this.#current = room;
    for (const link of id("room-list").querySelectorAll("a")) {
      if (Number(link.dataset.id) === room) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  nameOf(room) {
    return this.#known.get(room)?.name ?? null;
  }

  // Puts the keyboard on the room that was left, or at the head of the list.
  focus(room) {
    const link = id("room-list").querySelector(`a[data-id="${Number(room)}"]`);
    (link ?? id("rooms-title")).focus({ preventScroll: !link });
  }

  // Rooms that others made since: only what comes after the last page is asked for.
  #look() {
    if (this.#me && !document.hidden && !this.#next) this.#load(this.#newest);
  }

  async #load(after) {
    if (this.#busy) return;
    this.#busy = true;
    const me = this.#me;
    try {
      const { list, next } = await rooms(after);
      if (this.#me !== me) return;
      this.#next = next;
      this.#newest = list.at(-1)?.id ?? this.#newest;
      this.#add(list);
      this.#note(this.#known.size ? "" : { key: "no_rooms" });
    } catch {
      this.#note({ key: "rooms_failed" });
    } finally {
      this.#busy = false;
      id("rooms-more").hidden = !this.#next;
    }
  }

  async #create() {
    const field = id("create-name");
    const button = id("create").querySelector("button");
    if (button.disabled) return;
    button.disabled = true;
    this.#problem("");
    try {
      const room = await createRoom(this.#me, field.value);
      field.value = "";
      this.#add([room]);
      this.#note("");
      this.#choose(room);
    } catch (error) {
      this.#problem(error.line ?? { key: "unreachable" });
      field.focus();
    } finally {
      button.disabled = false;
    }
  }

  #add(list) {
    for (const room of list) {
      if (this.#known.has(room.id)) continue;
      this.#known.set(room.id, room);
      const rows = [...id("room-list").children];
      const later = rows.findLast((row) => Number(row.dataset.id) < room.id);
      const row = this.#row(room);
      if (later) later.after(row);
      else id("room-list").prepend(row);
    }
    this.mark(this.#current);
  }

  #row(room) {
    const row = document.createElement("li");
    const link = document.createElement("a");
    const name = document.createElement("span");
    const number = document.createElement("span");
    row.dataset.id = link.dataset.id = room.id;
    link.href = `#room-${room.id}`;
    name.className = "name";
    name.textContent = room.name;
    number.className = "number";
    if (room.post_id !== null) put(number, { key: "post", number: room.post_id });
    link.append(name, number);
    row.append(link);
    return row;
  }

  #note(line) {
    put(id("rooms-note"), line);
  }

  #problem(line) {
    put(id("create-problem"), line);
    id("create-problem").hidden = !line;
  }
}
