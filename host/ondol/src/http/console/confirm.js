// The dialog before each change: what it will do, why it is wanted, and then what came of it. An answer stays until it is
// closed, and so does every reason why the server refused.

import { id, make } from "./dom.js";
import { put } from "./language.js";
import { duration, short } from "./figures.js";
import { Refused } from "./server.js";

const dialog = id("confirm");
let asked = null;
let busy = false;

// Asks for a change. `act` makes it, given the reason; `told` says in lines what the answer means; `reason` is what was
// given already.
export function confirm({ title, lines, yes, danger = false, reason = null, act, told }) {
  asked = { act, told, reason };
  put(id("confirm-title"), title);
  id("confirm-lines").replaceChildren(...lines.map((line) => make("li", { line })));
  id("confirm-reason-label").hidden = reason !== null;
  id("confirm-reason").value = "";
  id("confirm-yes").classList.toggle("danger", danger);
  put(id("confirm-yes"), yes);
  id("confirm-yes").hidden = false;
  put(id("confirm-no"), { key: "cancel" });
  id("outcome").replaceChildren();
  dialog.dataset.outcome = "none";
  dialog.showModal();
  id("confirm-title").focus();
}

async function carryOut() {
  const { act, told, reason } = asked;
  hold(true);
  id("outcome").replaceChildren(make("p", { class: "working", line: { key: "working" } }));
  try {
    const answer = await act(reason ?? id("confirm-reason").value.trim());
    say("done", told(answer).map((line) => make("p", { line })));
    document.dispatchEvent(new Event("changed"));
  } catch (error) {
    say("refused", refusal(error));
    document.dispatchEvent(new Event("changed"));
  } finally {
    hold(false);
  }
  id("confirm-yes").hidden = true;
  put(id("confirm-no"), { key: "close" });
  id("confirm-no").focus();
}

function hold(held) {
  busy = held;
  id("confirm-yes").disabled = held;
  id("confirm-no").disabled = held;
}

function say(outcome, parts) {
  dialog.dataset.outcome = outcome;
  id("outcome").replaceChildren(...parts);
}

// Why nothing was changed: the server's words, and for each handler the check that it failed and its reasons.
export function refusal(error) {
  if (!(error instanceof Refused)) return [make("p", { class: "problem", line: { key: "unreachable" } })];
  const each = Object.entries(error.handlers).map(([handler, { stage, reasons }]) =>
    make("div", { class: "reasons" },
      make("p", { line: { key: "refused_at", handler, stage } }),
      make("ul", {}, ...reasons.map((text) => make("li", { text })))));
  const words = each.length ? { line: { key: "refused" } } : { text: error.message };
  return [make("p", { class: "problem", ...words }), ...each];
}

// What a deploy or a rollback led to.
export function toldOfChange(answer) {
  const lines = [{ key: answer.changed ? "now_active" : "active_already", release: answer.release }];
  if (answer.probation) {
    const { left_ms: left, back_to: base } = answer.probation;
    lines.push({ key: "now_on_probation", time: duration(left), base });
  }
  if (answer.ended_canary) lines.push({ key: "canary_ended", percent: answer.ended_canary.percent });
  for (const release of answer.ended_probations ?? []) lines.push({ key: "probation_ended", release });
  return [...lines, ...toldOfSettings(answer)];
}

export function toldOfSettings({ settings }) {
  return Object.entries(settings ?? {}).flatMap(([handler, row]) => [
    ...(row.taken_away.length ? [{ key: "taken_away", handler, keys: row.taken_away.join(", ") }] : []),
    ...(row.unasked.length ? [{ key: "unasked", handler, keys: row.unasked.join(", ") }] : []),
  ]);
}

// "events 3f2a91c0 replaces 91bc22d1", for each handler that differs.
export function replacements(before, after) {
  return Object.keys(after)
    .filter((handler) => after[handler] !== before[handler])
    .map((handler) => ({ key: "replaces", handler, version: short(after[handler]), former: short(before[handler] ?? "none") }));
}

id("confirm-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!busy && !id("confirm-yes").hidden) carryOut();
});
id("confirm-no").addEventListener("click", () => dialog.close());
dialog.addEventListener("cancel", (event) => busy && event.preventDefault());
