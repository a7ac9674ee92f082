// Where the server is and how it is asked. Every address is relative to the page, so that it works below a path too.
// Knows nothing of the screen.

import { refusal } from "./texts.js";

const HOME = new URL(".", location.href);
const PATIENCE_MS = 15_000;

let token; // proves who the user is, where the server asks for one

// From now on requests carry this token, or none, in place of the user's name.
export function carry(given) {
  token = given;
}

// A refusal of the server. `line` tells it to the user.
export class Refused extends Error {
  constructor(status, body) {
    super(`status ${status}`);
    this.status = status;
    this.line = line(status, body);
  }
}

// One page of rooms, oldest first, and the id to ask on from (null at the end).
export async function rooms(after) {
  const [list, answer] = await ask("chat/v1/rooms/", { query: after ? { after } : {} });
  return { list, next: afterOf(answer.headers.get("Link")) };
}

// Makes a room that belongs to `user`.
export async function createRoom(user, name) {
  const [room] = await ask("chat/v1/create-room/", { query: identity(user), body: name ? { name } : {} });
  return room;
}

// A room with its latest messages, oldest first.
export async function room(id) {
  const [found] = await ask(`chat/v1/room/${id}/`, {});
  return found;
}

// Messages of a room, oldest first: `query` is `{after}` or `{before}` (a seq) and `{limit}`.
export async function messages(id, query) {
  const [list] = await ask(`chat/v1/room/${id}/messages/`, { query });
  return list;
}

// Where the socket of `user` in a room opens. `known` is `{after, epoch}` (a seq, and what it is a number of) if it resumes.
export function socketAddress(id, user, known) {
  const address = socketPath(id, user);
  for (const [key, value] of Object.entries(known)) address.searchParams.set(key, value);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return address;
}

// The subprotocols of a socket: a page can send a token in no other header.
export function socketProtocols() {
  return token ? ["ondol.token", token] : [];
}

// Why a socket did not open: a browser hides it, so the same address is asked without an upgrade.
// Null when the server has nothing against the user or the room, or cannot be reached.
export async function whyRefused(id, user) {
  try {
    await ask(socketPath(id, user), {});
  } catch (error) {
    if (error instanceof Refused && [401, 403, 404, 429, 503].includes(error.status)) return error;
  }
  return null;
}

function socketPath(id, user) {
  const address = new URL(`ws/chat/${id}/chat/`, HOME);
  address.search = new URLSearchParams(identity(user));
  return address;
}

function identity({ user_id, nickname, email, profile_url }) {
  if (token) return {};
  return { user_id, nickname, email, ...(profile_url ? { profile_url } : {}) };
}

async function ask(path, { query, body }) {
  const address = new URL(path, HOME);
  if (query) address.search = new URLSearchParams(query);
  const answer = await fetch(address, {
    method: body ? "POST" : "GET",
    headers: {
      ...(body ? { "Content-Type": "application/json" } : {}),
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
    },
    body: body && JSON.stringify(body),
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  const said = await answer.json().catch(() => null);
  if (!answer.ok || said === null) throw new Refused(answer.status, said);
  return [said, answer];
}

// The body of a refusal is `{"detail": "…", "code": "…"}`, or `{"name": ["…"], "code": "…"}` for a field.
function line(status, body) {
  const { code, detail, ...fields } = body ?? {};
  if (typeof detail === "string") return refusal({ code, message: detail });
  const [field, messages] = Object.entries(fields).find(([, value]) => Array.isArray(value) && value.length) ?? [];
  return field ? refusal({ code, field, message: messages.join(" ") }) : { key: "status", status };
}

// The `after` of a `Link: <…?after=100>; rel="next"`. The rest of the address is left: a gateway may have another host.
function afterOf(link) {
  const next = /<([^>]*)>\s*;[^,]*rel="?next"?/i.exec(link ?? "");
  return next && new URL(next[1], HOME).searchParams.get("after");
}
