// Elements without a template: a tag, what it has, what it holds. A text is always a text, whatever is in it.

import { put, putDate } from "./language.js";

const SVG = "http://www.w3.org/2000/svg";

export const id = (name) => document.getElementById(name);

// An element. `class` and attributes as in HTML; `text` is shown as it is; `line` is a text of the page (see language.js);
// `at` is a moment for a `<time>`; `on` holds listeners.
export function make(tag, given = {}, ...children) {
  return fill(document.createElement(tag), given, children);
}

// The same in a drawing.
export function draw(tag, given = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), given, children);
}

function fill(element, { text, line, at, on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  if (text !== undefined) element.textContent = text;
  if (line !== undefined) put(element, line);
  if (at !== undefined) putDate(element, new Date(at), "stamp");
  return element;
}

// Draws a part of the page anew only if what it shows has changed: so a button keeps its focus while figures come in.
export function drawn() {
  let last;
  return (data, draw) => {
    const now = JSON.stringify(data);
    if (now === last) return;
    last = now;
    draw();
  };
}
