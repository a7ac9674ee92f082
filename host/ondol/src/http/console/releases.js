// The releases, the latest first: who made each, why, what became of it, and how to go back to it.

import { drawn, id, make } from "./dom.js";
import { short } from "./figures.js";
import { confirm, replacements, toldOfChange } from "./confirm.js";
import { change, get } from "./server.js";

const PAGE = 12;

const list = id("releases");
const redraw = drawn();
let latest = [];
let older = [];
let status = null;

// The first page of them, and further ones that were asked for.
export async function loadReleases() {
  latest = await get(`/v1/releases?limit=${PAGE}`);
  const least = latest.at(-1)?.release ?? 0;
  older = older.filter((row) => row.release < least);
}

export function showReleases(now) {
  status = now;
  const rows = [...latest, ...older];
  id("older").hidden = rows.length < PAGE || rows.at(-1)?.release === 1;
  redraw([rows, status.release?.release], () => {
    list.replaceChildren(...rows.map((row, index) => entry(row, rows[index + 1])));
  });
}

function entry(row, before) {
  const { release, at, who, how, why, outcome, detail, events, back_to: backTo } = row;
  const isActive = outcome === "active";
  const same = JSON.stringify(row.versions) === JSON.stringify(status.release?.versions);
  const back = isActive || same || outcome === "refused" ? null : make("button", {
    class: "quiet", type: "button", "data-back": release, line: { key: "roll_back_button" }, on: { click: () => confirmRollback(row) },
  });
  return make("li", { class: `release ${outcome}`, "data-release": release },
    make("div", { class: "release-head" },
      make("b", { line: { key: "release_number", release } }),
      make("span", { class: `chip ${outcome}`, line: known(`outcome_${outcome}`, outcome) }),
      make("time", { at }),
      back),
    make("p", { class: "provenance" },
      make("span", { line: known(`how_${how}`, how) }), " · ", make("b", { text: who }),
      backTo ? make("span", { class: "back-to", line: { key: "back_to", release: backTo } }) : null),
    why ? make("p", { class: "why", text: why }) : null,
    changes(row, before),
    detail ? make("p", { class: "detail", text: detail }) : null,
    events.length ? make("ul", { class: "events" }, ...events.map(event)) : null);
}

function changes(row, before) {
  const differing = Object.entries(row.versions).filter(([handler, version]) => before?.versions[handler] !== version);
  return make("ul", { class: "versions" },
    ...differing.map(([handler, version]) => make("li", {}, `${handler} `, make("code", { text: short(version), title: version }))));
}

function event({ at, what, who, detail }) {
  return make("li", {}, make("span", { class: `what ${what}`, line: known(`event_${what}`, what) }), " ",
    make("span", { class: "provenance" }, make("time", { at }), " · ", make("b", { text: who })), make("p", { class: "detail", text: detail }));
}

// A text that the page has, or the server's word.
const WORDS = new Set([
  "outcome_active", "outcome_replaced", "outcome_rolled_back", "outcome_refused", "outcome_failed", "outcome_broken",
  "how_first", "how_directory", "how_deploy", "how_rollback", "how_fallback", "how_probation",
  "event_warning", "event_probation_ended", "event_forgiven", "event_canary_started", "event_canary_ended",
  "event_shadow_started", "event_shadow_ended",
]);

function known(key, word) {
  return WORDS.has(key) ? { key } : word;
}

function confirmRollback({ release, versions }) {
  const active = status.release;
  const lines = [...replacements(active.versions, versions), { key: "rollback_no_probation" }];
  if (status.probation) lines.push({ key: "ends_probation", release: status.probation.release });
  if (status.canary) lines.push({ key: "ends_canary", percent: status.canary.percent });
  confirm({
    title: { key: "rollback_title", release: active.release, back: release },
    lines,
    yes: { key: "roll_back" },
    danger: true,
    act: (reason) => change("POST", "/v1/rollback", { to: release, reason }),
    told: toldOfChange,
  });
}

id("older").addEventListener("click", async () => {
  const least = [...latest, ...older].at(-1)?.release;
  const more = await get(`/v1/releases?limit=${PAGE}&before=${least}`).catch(() => []);
  older.push(...more);
  showReleases(status);
  if (more.length < PAGE) id("older").hidden = true;
});
