// The three handlers: for each its versions with calls, times and faults, as plots and in a table.

import { drawn, id, make } from "./dom.js";
import { put } from "./language.js";
import { count, micros, rate, short } from "./figures.js";
import { Plot } from "./plot.js";
import { showEvidence } from "./evidence.js";

const HANDLERS = ["rooms", "messages", "events"];

// The versions that a table shows, and the colours that tell them apart.
const ROWS_MAX = 6;
const TONES = 6;

const cards = HANDLERS.map((handler) => new Card(handler));

export function showHandlers(status, samples, now) {
  for (const card of cards) card.show(status, samples, now);
}

function Card(handler) {
  const plots = {
    calls: new Plot({ key: "plot_calls" }, { write: (value) => `${rate(value)}/s` }),
    times: new Plot({ key: "plot_times" }, { write: micros }),
    faults: new Plot({ key: "plot_faults" }, { bars: true, write: count }),
  };
  const body = make("tbody");
  const columns = ["version_column", "state_column", "calls_column", "faults_column", "p50_column", "p99_column"];
  const head = columns.map((key) => make("th", { scope: "col", line: { key } }));
  const table = make("table", { "data-label": "versions" }, make("thead", {}, make("tr", {}, ...head)), body);
  const badge = make("span", { class: "badge" });
  id("handlers").append(make("article", { class: "handler", id: `handler-${handler}` },
    make("header", {}, make("h3", { text: handler }), make("p", { class: "note", line: { key: `about_${handler}` } }), badge),
    make("div", { class: "plots" }, plots.calls.element, plots.times.element, plots.faults.element),
    make("div", { class: "table scroll", role: "region", tabindex: "0", "data-label": "versions" }, table)));
  const tones = new Map();
  const tone = (version) => {
    if (!tones.has(version)) tones.set(version, `tone-${(tones.size % TONES) + 1}`);
    return tones.get(version);
  };
  const redraw = drawn();

  this.show = (status, samples, now) => {
    const calls = samples.map((sample) => new Map(sample.calls.filter((row) => row.handler === handler).map((row) => [row.version, row])));
    const called = new Set(calls.flatMap((row) => [...row.keys()]));
    const versions = known(handler, status, called);
    const rows = versions.map(({ version, state, bad }) => {
      const own = calls.map((row) => row.get(version)).filter(Boolean);
      const sum = (key) => own.reduce((sum, row) => sum + row[key], 0);
      return { version, state, bad, calls: sum("calls"), faults: sum("faults"), last: own.at(-1) };
    });
    plot(samples, calls, versions.map(({ version }) => version).filter((version) => called.has(version)), now);
    const { built_in: builtIn, faults } = status.handlers[handler];
    badge.hidden = !builtIn;
    put(badge, { key: "built_in" });
    const open = (row) => showEvidence(handler, row.version, faults, row.bad);
    redraw([rows, faults.count], () => {
      // The button that has the focus keeps it.
      const focused = body.contains(document.activeElement) ? document.activeElement.dataset.version : null;
      body.replaceChildren(...rows.map((row) => line(row, tone(row.version), () => open(row), faults)));
      if (focused) body.querySelector(`[data-version="${focused}"]`)?.focus();
    });
  };

  function plot(samples, calls, versions, now) {
    const moments = samples.map((sample) => sample.ended);
    const series = (value) => versions.map((version) => ({
      name: short(version),
      tone: tone(version),
      values: calls.map((row, index) => value(row.get(version), samples[index])),
    }));
    const first = (version) => calls.findIndex((row) => row.has(version));
    const since = new Map(versions.map((version) => [short(version), first(version)]));
    const perSecond = series((row, sample) => (sample.span_ms ? ((row?.calls ?? 0) * 1_000) / sample.span_ms : null));
    for (const one of perSecond) one.values = one.values.map((value, index) => (index < since.get(one.name) - 1 ? null : value));
    plots.calls.show(moments, perSecond, now);
    const times = (key, mark) => series((row) => row?.[key] ?? null).map((one) => ({ ...one, name: `${one.name} ${mark}`, dashed: mark === "p99" }));
    plots.times.show(moments, [...times("p50_us", "p50"), ...times("p99_us", "p99")], now);
    plots.faults.show(moments, series((row) => row?.faults ?? null), now);
  }
}

// The versions of a handler that are worth a row, the active one first, with what each is at the moment.
function known(handler, status, called) {
  const active = status.handlers[handler].version;
  const states = new Map();
  const add = (version, state) => version && !states.has(version) && states.set(version, state);
  const onProbation = [status.probation, ...status.earlier_probations].some((probation) => probation?.versions[handler] === active);
  if (status.handlers[handler].built_in) add("built-in", "active");
  add(active, onProbation ? "probation" : "active");
  add(status.canary?.versions[handler], "canary");
  add(status.shadow?.versions[handler], "shadow");
  const blocked = (version) => Object.hasOwn(status.bad, version);
  for (const { version } of status.handlers[handler].faults.last) add(version, blocked(version) ? "blocked" : "former");
  for (const version of [...called].reverse()) add(version, blocked(version) ? "blocked" : "former");
  return [...states].slice(0, ROWS_MAX).map(([version, state]) => ({ version, state, bad: status.bad[version] ?? null }));
}

function line({ version, state, bad, calls, faults, last }, tone, open, all) {
  const some = faults > 0 || bad !== null || all.last.some((fault) => fault.version === version);
  const button = make("button", { type: "button", class: "fault-button", "data-version": version, on: { click: open } });
  put(button, { key: faults === 1 ? "fault_button_one" : "fault_button", faults: count(faults) });
  return make("tr", { "data-row": short(version) },
    make("th", { scope: "row" }, make("i", { class: `swatch ${tone}`, "aria-hidden": "true" }), make("code", { text: short(version), title: version })),
    make("td", {}, make("span", { class: `chip ${state}`, line: { key: `state_${state}` } })),
    make("td", { text: count(calls) }),
    make("td", {}, some ? button : make("span", { text: "0" })),
    make("td", { text: last ? micros(last.p50_us) : "–" }),
    make("td", { text: last ? micros(last.p99_us) : "–" }));
}
