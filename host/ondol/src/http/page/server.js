// Where the server is and how it is asked. Every address is relative to the page, so that it works below a path too.
// Knows nothing of the screen.

const HOME = new URL(".", location.href);
const PATIENCE_MS = 15_000;

// A considered no of the server, in its own words.
export class Refused extends Error {
  constructor(status, body) {
    super(sentence(status, body));
    this.status = status;
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

// Where the socket of `user` in a room opens.
export function socketAddress(id, user) {
  const address = socketPath(id, user);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return address;
}

// Why a socket did not open: a browser hides it, so the same address is asked without an upgrade.
// Null when the server has nothing against the user or the room, or cannot be reached.
export async function whyRefused(id, user) {
  try {
    await ask(socketPath(id, user), {});
  } catch (error) {
    if (error instanceof Refused && [401, 403, 404, 503].includes(error.status)) return error;
  }
  return null;
}

function socketPath(id, user) {
  const address = new URL(`ws/chat/${id}/chat/`, HOME);
  address.search = new URLSearchParams(identity(user));
  return address;
}

function identity({ user_id, nickname, email, profile_url }) {
  return { user_id, nickname, email, ...(profile_url ? { profile_url } : {}) };
}

async function ask(path, { query, body }) {
  const address = new URL(path, HOME);
  if (query) address.search = new URLSearchParams(query);
  const answer = await fetch(address, {
    method: body ? "POST" : "GET",
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body && JSON.stringify(body),
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  const said = await answer.json().catch(() => null);
  if (!answer.ok || said === null) throw new Refused(answer.status, said);
  return [said, answer];
}

// `{"detail": "…"}` or `{"name": ["…"]}`, as one sentence.
function sentence(status, body) {
  if (typeof body?.detail === "string") return body.detail;
  const field = Object.entries(body ?? {}).find(([, said]) => Array.isArray(said) && said.length);
  return field ? `${field[0]}: ${field[1].join(" ")}` : `The server answered ${status}.`;
}

// The `after` of a `Link: <…?after=100>; rel="next"`. Only that is taken from it: behind a gateway its host may be another.
function afterOf(link) {
  const next = /<([^>]*)>\s*;[^,]*rel="?next"?/i.exec(link ?? "");
  return next && new URL(next[1], HOME).searchParams.get("after");
}
