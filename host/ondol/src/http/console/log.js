// The last lines that handlers printed, while they are looked at.

import { id, make } from "./dom.js";
import { get } from "./server.js";

const LINES_MAX = 200;

const list = id("log");
let last = null;

// Whether the lines are looked at.
export const isOpen = () => id("log-details").open;

export async function showLog() {
  const { lines, last: now } = await get(last === null ? `/v1/logs?lines=${LINES_MAX}` : `/v1/logs?after=${last}`);
  // A server that has restarted numbers anew.
  if (last !== null && now < last) list.replaceChildren();
  last = now;
  const isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
  for (const { at, handler, version, function: name, fault, text } of lines) {
    list.append(make("li", { class: fault ? "fault" : "" },
      make("span", { class: "note", text: `${at.slice(11, 19)} ${handler} ${version.slice(0, 8)} ${name}` }), " ", make("code", { text })));
  }
  while (list.childElementCount > LINES_MAX) list.firstElementChild.remove();
  id("log-empty").hidden = list.childElementCount > 0;
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}
