// Deploying dropped files: to all rooms, to some as a canary, or as a shadow. What it will do is said before it is done.

import { id, make } from "./dom.js";
import { put, words } from "./language.js";
import { bytes, duration, short } from "./figures.js";
import { HANDLERS, base64, handlerIn, versionOf } from "./files.js";
import { confirm, toldOfChange, toldOfSettings } from "./confirm.js";
import { change, session } from "./server.js";

const form = id("deploy");
let chosen = []; // { file, handler, cases }
let status = null;
let limits = null;

export function showDeploy(now, about) {
  [status, limits] = [now, about];
}

// Takes files: components, and tables of cases for them.
function take(files) {
  let problem = "";
  for (const file of files) {
    if (file.name.endsWith(".toml")) {
      if (!giveCases(file)) problem = { key: "no_component_for_cases", name: file.name };
    } else if (!file.name.endsWith(".wasm")) {
      problem = { key: "not_a_component", name: file.name };
    } else if (file.size > limits.handler_file_bytes_max) {
      problem = { key: "too_large", name: file.name, most: bytes(limits.handler_file_bytes_max) };
    } else {
      const handler = handlerIn(file.name);
      chosen = chosen.filter((one) => one.file.name !== file.name && (!handler || one.handler !== handler));
      chosen.push({ file, handler, cases: null });
    }
  }
  tell(problem);
  show();
}

// Cases go to the component that their name tells, or to the only one.
function giveCases(file) {
  const named = chosen.find((one) => one.handler && one.handler === handlerIn(file.name));
  const one = named ?? (chosen.length === 1 ? chosen[0] : null);
  if (one) one.cases = file;
  return one !== null;
}

function tell(problem) {
  id("deploy-problem").hidden = problem === "";
  put(id("deploy-problem"), problem);
}

function show() {
  id("chosen").replaceChildren(...chosen.map(row));
  id("deploy-button").disabled = !chosen.length;
}

function row(one) {
  const pick = make("select", { "data-label": "which_handler", on: { change: () => { one.handler = pick.value || null; } } },
    make("option", { value: "", line: { key: "which_handler" } }),
    ...HANDLERS.map((handler) => make("option", { value: handler, text: handler })));
  pick.setAttribute("aria-label", words({ key: "which_handler" }));
  pick.value = one.handler ?? "";
  const remove = () => {
    chosen = chosen.filter((other) => other !== one);
    show();
    id("files").focus();
  };
  return make("li", {},
    make("span", { class: "file" }, make("b", { text: one.file.name }), make("span", { class: "note", text: bytes(one.file.size) })),
    one.cases ? make("span", { class: "note", line: { key: "with_cases", name: one.cases.name } }) : null,
    pick,
    make("button", { class: "quiet", type: "button", line: { key: "remove" }, on: { click: remove } }));
}

function way() {
  return new FormData(form).get("way");
}

async function ask() {
  const handlers = chosen.map((one) => one.handler);
  if (handlers.includes(null)) return tell({ key: "pick_handlers" });
  if (new Set(handlers).size < handlers.length) return tell({ key: "handler_twice" });
  const percent = Number(id("percent").value);
  if (way() === "canary" && !(Number.isInteger(percent) && percent >= 1 && percent <= 99)) return tell({ key: "percent_range" });
  tell("");
  // A reload may have changed them.
  limits = await session().catch(() => limits);
  const [now, kind, files] = [status, way(), [...chosen]];
  // A file may have gone since it was chosen.
  const lines = await replaced(files, now).catch(() => null);
  if (!lines) return tell({ key: "unreadable" });
  confirm({
    title: { key: `deploy_title_${kind}`, percent },
    lines: [...lines, ...consequences(kind, percent, now)],
    yes: { key: `deploy_${kind}` },
    reason: id("reason").value.trim(),
    act: (reason) => send(files, kind, percent, reason, now),
    told: (answer) => {
      chosen = [];
      id("reason").value = "";
      show();
      return told(kind, answer);
    },
  });
}

// Which version will take the place of which.
function replaced(files, now) {
  const each = files.map(async ({ file, handler, cases }) => {
    const active = now.handlers[handler];
    const settings = active.settings ?? {};
    const version = await versionOf(file, settings);
    const bad = Object.hasOwn(now.bad, version) ? [{ key: "is_blocked", version: short(version) }] : [];
    const former = active.version;
    const line = version === former
      ? { key: "is_active", handler, version: short(version) }
      : { key: former ? "replaces" : "is_first", handler, version: short(version), former: short(former ?? "none") };
    return [line, ...(cases ? [{ key: "has_to_pass", name: cases.name }] : []), ...bad];
  });
  return Promise.all(each).then((lines) => lines.flat());
}

function consequences(kind, percent, now) {
  const release = now.release.release;
  const lines = [];
  if (kind === "shadow") return [{ key: "shadow_line" }, ...(now.shadow ? [{ key: "replaces_shadow" }] : [])];
  if (kind === "canary") lines.push({ key: "canary_line", percent, release });
  else if (limits.probation_ms > 0) lines.push({ key: "probation_line", time: duration(limits.probation_ms), release });
  if (now.canary) lines.push({ key: "ends_canary", percent: now.canary.percent });
  return lines;
}

async function send(files, kind, percent, reason, now) {
  const body = { reason, expected_release: now.release.release };
  for (const { file, handler, cases } of files) {
    body[handler] = { component: await base64(file), ...(cases ? { cases: await cases.text() } : {}) };
  }
  if (kind === "canary") body.percent = percent;
  return change("POST", kind === "shadow" ? "/v1/shadow" : "/v1/releases", body);
}

function told(kind, answer) {
  if (kind === "all") return toldOfChange(answer);
  const line = kind === "canary" ? { key: "canary_started", percent: answer.percent } : { key: "shadow_started" };
  return [line, ...toldOfSettings(answer)];
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
id("files").addEventListener("change", () => {
  take(id("files").files);
  id("files").value = "";
});
for (const radio of id("way").querySelectorAll("input")) {
  radio.addEventListener("change", () => { id("percent-label").hidden = way() !== "canary"; });
}
// A file may be dropped anywhere on the page.
let depth = 0;
const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragenter", (event) => {
  if (hasFiles(event)) id("drop").classList.toggle("over", (depth += 1) > 0);
});
document.addEventListener("dragleave", (event) => {
  if (hasFiles(event)) id("drop").classList.toggle("over", (depth -= 1) > 0);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  id("drop").classList.remove("over");
  if (event.dataTransfer?.files.length && status) {
    take(event.dataTransfer.files);
    id("deploy-button").scrollIntoView({ block: "nearest" });
  }
});
