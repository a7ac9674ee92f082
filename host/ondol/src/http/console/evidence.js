// What is known of a version's faults, and why it is blocked.

import { id, make } from "./dom.js";
import { put } from "./language.js";
import { short } from "./figures.js";
import { confirm } from "./confirm.js";
import { change } from "./server.js";

const dialog = id("evidence");
id("evidence-close").addEventListener("click", () => dialog.close());

// Shows the last faults of a version, of those that its handler had, and the evidence for which it is blocked.
export function showEvidence(handler, version, faults, bad) {
  put(id("evidence-title"), { key: "evidence_title", handler, version: short(version) });
  const own = faults.last.filter((fault) => fault.version === version);
  const parts = own.map(faultPart);
  if (bad !== null) parts.unshift(blockedPart(version, bad));
  if (!own.length) parts.push(make("p", { class: "note", line: { key: "no_fault_kept" } }));
  id("evidence-body").replaceChildren(make("p", { class: "version-id" }, make("code", { text: version })), ...parts);
  if (!dialog.open) dialog.showModal();
  id("evidence-title").focus();
}

function blockedPart(version, bad) {
  const forgive = () => {
    dialog.close();
    confirmForgiving(version);
  };
  return make("section", { class: "blocked" },
    make("h3", { line: { key: "blocked_title" } }),
    make("pre", { text: bad, tabindex: "0" }),
    make("p", { class: "note", line: { key: "blocked_note" } }),
    make("button", { class: "quiet", id: "forgive", type: "button", line: { key: "forgive_button" }, on: { click: forgive } }));
}

function faultPart(fault) {
  const facts = [
    ["fault_outcome", fault.outcome],
    ["fault_room", fault.room],
    ["fault_request", fault.request_id],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  const trace = fault.backtrace.length ? make("pre", { tabindex: "0", text: fault.backtrace.map((name) => `in ${name}`).join("\n") }) : null;
  const printed = fault.printed.length ? make("pre", { tabindex: "0", text: fault.printed.join("\n") }) : null;
  return make("section", { class: "fault" },
    make("h3", {}, make("code", { text: fault.function }), " ", make("time", { at: fault.at })),
    make("p", { class: "cause", text: fault.cause }),
    trace,
    printed && make("p", { class: "note", line: { key: "fault_printed" } }),
    printed,
    make("dl", { class: "facts" }, ...facts.flatMap(([key, value]) => [make("dt", { line: { key } }), make("dd", { text: String(value) })])));
}

// Lifts the block of a version, once that is confirmed.
export function confirmForgiving(version) {
  confirm({
    title: { key: "forgive_title", version: short(version) },
    lines: [{ key: "forgive_line", version: short(version) }],
    yes: { key: "forgive" },
    act: (reason) => change("POST", "/v1/forgive", { version, reason }),
    told: () => [{ key: "forgiven", version: short(version) }],
  });
}
