// The console, put together: the login, and what is shown anew every two seconds. Knows nothing of how a part is drawn.

import { id } from "./dom.js";
import { put } from "./language.js";
import { Refused, get, logIn, logOut, session } from "./server.js";
import { showOverview, showState } from "./overview.js";
import { showHandlers } from "./handlers.js";
import { showRollouts } from "./rollouts.js";
import { loadReleases, showReleases } from "./releases.js";
import { showDeploy } from "./deploy.js";
import { isOpen, showLog } from "./log.js";

const EVERY_MS = 2_000;

// Releases that were rejected do not show in the status, so the history is asked for now and then.
const HISTORY_EVERY = 5;

let about = null; // the session, once there is one
let samples = [];
let seen = "";
let looks = 0;
let timer = null;

async function begin() {
  try {
    about = await session();
  } catch (error) {
    showState(null);
    view(error instanceof Refused ? "sign-in" : "starting");
    if (error instanceof Refused) problem({ key: "insecure" });
    else setTimeout(begin, EVERY_MS);
    return;
  }
  if (!about.form) return view("sign-in");
  id("log-out").hidden = !about.has_token;
  await look();
  view("console");
}

function view(name) {
  document.body.dataset.view = name;
  id("sign-in").hidden = name !== "sign-in";
  id("console").hidden = name !== "console";
  if (name === "sign-in") id("token").focus();
}

function problem(line) {
  id("login-problem").hidden = line === "";
  put(id("login-problem"), line);
}

// Asks for everything and shows it; the next time follows.
async function look() {
  clearTimeout(timer);
  try {
    const [status, activity] = await Promise.all([get("/v1/status"), get(`/v1/activity?since=${samples.at(-1)?.number ?? 0}`)]);
    add(activity);
    const { probation, earlier_probations: _, handlers: __, uptime_ms: ___, ...rest } = status;
    const now = JSON.stringify([rest.release, rest.canary?.since, rest.shadow?.since, Object.keys(rest.bad), probation?.release]);
    if (now !== seen || looks % HISTORY_EVERY === 0) await loadReleases();
    [seen, looks] = [now, looks + 1];
    show(status, activity.current);
    if (isOpen()) await showLog();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return;
    showState(null);
    if (!(error instanceof Refused) && error.name !== "Error") console.error(error);
  }
  clearTimeout(timer);
  timer = setTimeout(look, document.hidden ? 5 * EVERY_MS : EVERY_MS);
}

// Keeps what is new. A server that has restarted numbers its samples anew.
function add({ samples: fresh, samples_max: most, current }) {
  if ((fresh[0]?.number ?? current.number) <= (samples.at(-1)?.number ?? 0)) samples = [];
  samples = [...samples, ...fresh.map(dated)].slice(-most);
}

function dated(sample) {
  return { ...sample, ended: Date.parse(sample.at) };
}

// The samples from the first on in which anything was done, so that a quiet server's plots are not empty for an hour.
function show(status, current) {
  // What has only begun says little.
  const all = current.span_ms >= 1_000 || !samples.length ? [...samples, dated(current)] : samples;
  const now = Date.parse(current.at);
  showState(status);
  showOverview(status, all, now);
  showHandlers(status, all, now);
  showRollouts(status);
  showReleases(status);
  showDeploy(status, about);
}

id("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  problem("");
  try {
    await logIn(id("token").value);
    id("token").value = "";
    await begin();
  } catch (error) {
    const known = { 401: "wrong_token", 429: "too_many_logins", 403: "insecure" }[error.status];
    problem({ key: known ?? "unreachable" });
    id("token").select();
  }
});
id("log-out").addEventListener("click", async () => {
  clearTimeout(timer);
  await logOut().catch(() => {});
  location.reload();
});
document.addEventListener("signed-out", () => {
  clearTimeout(timer);
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  if (document.body.dataset.view === "console") problem({ key: "session_over" });
  view("sign-in");
});
document.addEventListener("changed", look);
id("log-details").addEventListener("toggle", () => isOpen() && showLog().catch(() => {}));
document.addEventListener("visibilitychange", () => !document.hidden && document.body.dataset.view === "console" && look());

begin();
