// What is tried at the moment: probations, the canary and the shadow, with their figures and how to end them.

import { drawn, id, make } from "./dom.js";
import { put, putDate } from "./language.js";
import { count, duration, micros, short } from "./figures.js";
import { confirm, toldOfChange } from "./confirm.js";
import { change } from "./server.js";

// How many differences of a shadow are shown.
const DIFFERENCES_MAX = 5;

const place = id("rollouts");
const redraw = drawn();
let updates = [];

export function showRollouts(status) {
  const probations = [status.probation, ...status.earlier_probations].filter(Boolean);
  const { canary, shadow } = status;
  // What makes a card; its figures come and go in it.
  const cards = [
    probations.map((row) => [row.release, row.versions, row.warnings]),
    canary && [canary.versions, canary.percent, canary.since, canary.probation?.warnings],
    shadow && [shadow.versions, shadow.since, shadow.first_differences],
    status.release?.release,
  ];
  redraw(cards, () => {
    updates = [];
    const each = [...probations.map(probationCard), canary && canaryCard(status), shadow && shadowCard()].filter(Boolean);
    const nothing = make("p", { class: "note nothing", line: { key: "no_rollout" } });
    place.replaceChildren(...(each.length ? each : [nothing]));
  });
  for (const update of updates) update({ probations, canary, shadow });
}

function probationCard(probation, index) {
  const progress = make("progress", { max: "1", "data-label": "probation_progress" });
  const left = make("span");
  const figures = new Figures(["calls", "faults"]);
  updates.push(({ probations }) => {
    const { ran_ms: ran, left_ms: rest, calls, faults } = probations[index];
    progress.value = ran / Math.max(1, ran + rest);
    put(left, { key: "time_left", time: duration(rest) });
    figures.show({ calls: count(calls), faults: count(faults) });
  });
  return card("probation", { key: "probation_title", release: probation.release, base: probation.back_to },
    versionsList(probation.versions),
    make("p", { class: "progress" }, progress, left),
    figures.element,
    make("p", { class: "note", line: terms(probation) }),
    warnings(probation.warnings));
}

function canaryCard(status) {
  const { canary, release } = status;
  const figures = new Figures(["calls", "faults"]);
  updates.push(({ canary }) => {
    figures.show({ calls: count(canary.probation?.calls ?? 0), faults: count(canary.probation?.faults ?? 0) });
  });
  const versions = Object.entries(canary.versions);
  const lines = versions.map(([handler, version]) => ({ key: "replaces", handler, version: short(version), former: short(release.versions[handler]) }));
  const promote = () => confirm({
    title: { key: "promote_title" },
    lines: [...lines, { key: "promote_line", percent: canary.percent, release: release.release }],
    yes: { key: "promote" },
    act: (reason) => change("POST", `/v1/canary/promote?reason=${encodeURIComponent(reason)}`),
    told: toldOfChange,
  });
  const drop = () => confirm({
    title: { key: "drop_title" },
    lines: [{ key: "drop_line", percent: canary.percent, release: release.release }],
    yes: { key: "drop" },
    danger: true,
    act: (reason) => change("DELETE", `/v1/canary?reason=${encodeURIComponent(reason)}`),
    told: () => [{ key: "canary_ended", percent: canary.percent }],
  });
  return card("canary", { key: "canary_title", percent: canary.percent },
    versionsList(canary.versions),
    provenance(canary),
    figures.element,
    warnings(canary.probation?.warnings ?? []),
    make("div", { class: "actions" },
      make("button", { class: "quiet", type: "button", id: "drop-canary", line: { key: "drop_button" }, on: { click: drop } }),
      make("button", { class: "primary", type: "button", id: "promote-canary", line: { key: "promote_button" }, on: { click: promote } })));
}

function shadowCard() {
  const figures = new Figures(["calls", "differences", "faults", "dropped"]);
  const differences = make("div", { class: "differences" });
  const times = make("p", { class: "note" });
  const versions = make("div");
  const since = make("time");
  updates.push(({ shadow }) => {
    const { calls, faults, dropped, active, shadow: own } = shadow;
    figures.show({ calls: count(calls), differences: count(shadow.differences), faults: count(faults), dropped: count(dropped) });
    put(times, { key: "shadow_times", active: micros(active.mean_us), active99: micros(active.p99_us), shadow: micros(own.mean_us), shadow99: micros(own.p99_us) });
    putDate(since, new Date(shadow.since), "stamp");
    if (!versions.hasChildNodes()) versions.append(versionsList(shadow.versions));
    const shown = shadow.first_differences.slice(0, DIFFERENCES_MAX);
    if (differences.childElementCount !== shown.length) differences.replaceChildren(...shown.map(difference));
  });
  const stop = () => confirm({
    title: { key: "stop_title" },
    lines: [{ key: "stop_line" }],
    yes: { key: "stop" },
    act: (reason) => change("DELETE", `/v1/shadow?reason=${encodeURIComponent(reason)}`),
    told: (row) => [{ key: "shadow_ended", calls: count(row.calls), differences: count(row.differences), faults: count(row.faults) }],
  });
  return card("shadow", { key: "shadow_title" },
    versions,
    make("p", { class: "provenance" }, since),
    figures.element, times, differences,
    make("div", { class: "actions" },
      make("button", { class: "quiet", type: "button", id: "stop-shadow", line: { key: "stop_button" }, on: { click: stop } })));
}

function difference({ function: name, input, active, shadow }) {
  return make("details", {},
    make("summary", {}, make("code", { text: name }), make("span", { class: "note", text: input })),
    make("pre", { tabindex: "0" }, `${input}\n`, make("del", { text: `- ${active}\n` }), make("ins", { text: `+ ${shadow}` })));
}

function card(kind, title, ...parts) {
  return make("article", { class: `rollout ${kind}` }, make("h3", { line: title }), ...parts);
}

function versionsList(versions) {
  const each = Object.entries(versions).map(([handler, version]) => make("li", {}, `${handler} `, make("code", { text: short(version), title: version })));
  return make("ul", { class: "versions" }, ...each);
}

function provenance({ who, why, since }) {
  return make("p", { class: "provenance" }, make("time", { at: since }), " · ", make("b", { text: who }), why ? ` · ${why}` : null);
}

function terms({ slowdown_max: times, slowdown_floor_ms: floor, slowdown_rollback_ms: rollback }) {
  return { key: "probation_terms", times, floor, rollback };
}

function warnings(each) {
  return each.length ? make("ul", { class: "warnings" }, ...each.map((text) => make("li", { text }))) : null;
}

// A few figures in a row.
class Figures {
  constructor(keys) {
    this.values = Object.fromEntries(keys.map((key) => [key, make("dd", { "data-figure": key })]));
    this.element = make("dl", { class: "figures" },
      ...keys.map((key) => make("div", {}, make("dt", { line: { key: `figure_${key}` } }), this.values[key])));
  }

  show(figures) {
    for (const [key, text] of Object.entries(figures)) {
      this.values[key].textContent = text;
      this.values[key].classList.toggle("some", text !== "0");
    }
  }
}
