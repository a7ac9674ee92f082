// The page's language: the one that was chosen here before, or the browser's first of Korean and English, or English.
// An element keeps the key of its text, so that the switch redraws the whole page at once.
//
// A line is a text for an element: `{key, ...values}` with a key of `TEXTS`, or a string that is shown as it is.

import { TEXTS } from "./texts.js";

const KEY = "ondol.language";
const LANGUAGES = ["ko", "en"];
const DATES = {
  day: { dateStyle: "full" },
  clock: { timeStyle: "short" },
  moment: { dateStyle: "full", timeStyle: "medium" },
  stamp: { dateStyle: "medium", timeStyle: "short" },
};
const DRAWN = "[data-text], [data-label], [data-placeholder], [data-date]";

let language;
let dates; // how each kind of date is written

// Shows a line in an element, in place of what is there.
export function put(element, line) {
  const { key, ...values } = typeof line === "string" ? {} : line;
  if (key) {
    element.dataset.text = key;
    element.dataset.values = JSON.stringify(values);
    draw(element);
  } else {
    delete element.dataset.text;
    write(element, line);
  }
}

// Shows a moment in a `<time>`: its "day" or its "clock".
export function putDate(element, at, kind) {
  element.dateTime = at.toISOString();
  element.dataset.date = kind;
  draw(element);
}

// A line as a string, in the language of now.
export function words(line) {
  if (typeof line !== "object") return line;
  return TEXTS[line.key][language].replace(/\{(\w+)\}/g, (_, name) => words(line[name]));
}

function draw(element) {
  const { text, label, placeholder, date, values } = element.dataset;
  if (text) write(element, words({ ...JSON.parse(values ?? "{}"), key: text }));
  if (label) element.setAttribute("aria-label", words({ key: label }));
  if (placeholder) element.placeholder = words({ key: placeholder });
  if (date) {
    const at = new Date(element.dateTime);
    write(element, dates[date].format(at));
    if (date === "clock") element.title = dates.moment.format(at);
  }
}

// A text that stays the same is not read out again.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function speak(chosen) {
  language = chosen;
  const tag = navigator.languages.find((tag) => primary(tag) === language) ?? language;
  dates = Object.fromEntries(Object.entries(DATES).map(([kind, style]) => [kind, new Intl.DateTimeFormat(tag, style)]));
  document.documentElement.lang = language;
  const log = document.getElementById("log");
  log.setAttribute("aria-busy", "true"); // what was read out before is not read out in the other language
  for (const element of document.querySelectorAll(DRAWN)) draw(element);
  requestAnimationFrame(() => log.removeAttribute("aria-busy"));
  for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.language === language));
  document.dispatchEvent(new Event("language"));
}

function primary(tag) {
  return tag.split("-")[0].toLowerCase();
}

// Storage may be switched off: then the choice holds until the page is reloaded.
function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(chosen) {
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // See above.
  }
}

const buttons = document.querySelectorAll("[data-language]");
for (const button of buttons) {
  button.onclick = () => {
    remember(button.dataset.language);
    speak(button.dataset.language);
  };
}
speak([remembered(), ...navigator.languages.map(primary)].find((tag) => LANGUAGES.includes(tag)) ?? "en");
