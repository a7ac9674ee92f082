// The figures at the head of the page: the active release, whether the server is ready, and what goes on.

import { id, make } from "./dom.js";
import { put, putDate } from "./language.js";
import { count, duration, micros, rate } from "./figures.js";

// Figures that come and go are those of the last half minute.
const RECENT_MS = 30_000;

const tiles = {};

for (const key of ["release", "uptime", "connections", "rooms", "message_rate", "per_commit", "commit_time"]) {
  const [value, more] = [make("dd"), make("dd", { class: "more" })];
  tiles[key] = { value, more };
  id("overview").append(make("dl", { class: `tile tile-${key}` }, make("dt", { line: { key: `tile_${key}` } }), value, more));
}
const since = make("time");
tiles.release.more.append(since);

export function showOverview(status, samples, now) {
  const { release } = status;
  tiles.release.value.textContent = release ? String(release.release) : "–";
  if (release) putDate(since, new Date(release.at), "stamp");
  put(tiles.uptime.value, duration(status.uptime_ms));
  put(tiles.uptime.more, { key: "version", version: status.ondol });
  const last = samples.at(-1);
  const recent = samples.filter((sample) => now - sample.ended <= RECENT_MS);
  const sum = (key) => recent.reduce((sum, sample) => sum + sample[key], 0);
  const [stored, commits, span] = [sum("stored"), sum("commits"), sum("span_ms")];
  tiles.connections.value.textContent = count(last.connections);
  tiles.rooms.value.textContent = count(last.rooms);
  tiles.message_rate.value.textContent = span ? rate((stored * 1_000) / span) : "–";
  tiles.per_commit.value.textContent = commits ? rate(stored / commits) : "–";
  const timed = recent.filter((sample) => sample.commit_us !== null).at(-1);
  tiles.commit_time.value.textContent = timed ? micros(timed.commit_us) : "–";
  for (const key of ["message_rate", "per_commit", "commit_time"]) put(tiles[key].more, { key: "recent" });
}

// The line beside the name: whether the server can be reached, and whether it is ready.
export function showState(status) {
  const state = status === null ? "gone" : status.ready ? "ready" : "failing";
  document.body.dataset.state = state;
  const fault = status?.fault ?? "";
  put(id("state-text"), state === "failing" ? { key: "not_ready", fault } : { key: `state_${state}` });
}
