// The page: one document at a time, its operations at the side, each to be linked to as #document/operation.

import { element, inline, prose } from "/docs/dom.js";
import { operations } from "/docs/operation.js";

const [main, list, filter] = ["main", "list", "filter"].map((id) => document.getElementById(id));
const DOCUMENTS = [...document.querySelectorAll("[data-document]")].map((link) => link.dataset.document);
const loaded = new Map();
let shown;

async function load(name) {
  if (!loaded.has(name)) {
    const answer = await fetch(`/docs/${name}.json`);
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
    loaded.set(name, await answer.json());
  }
  return loaded.get(name);
}

async function show() {
  const [wanted, operation] = decodeURIComponent(location.hash.slice(1)).split("/");
  const name = DOCUMENTS.includes(wanted) ? wanted : DOCUMENTS[0];
  for (const link of document.querySelectorAll("[data-document]")) {
    link.toggleAttribute("aria-current", link.dataset.document === name);
  }
  if (shown !== name) {
    shown = name;
    filter.value = "";
    render(name, await load(name));
  }
  if (operation) document.getElementById(`${name}/${operation}`)?.scrollIntoView();
}

function render(name, root) {
  const all = operations(root);
  const groups = [...new Set(all.map((one) => one.group))];
  const about = Object.fromEntries((root.tags ?? []).map((tag) => [tag.name, tag.description]));
  main.replaceChildren(
    element("div", { class: "about" },
      element("h2", {}, root.info.title, " ", element("small", {}, root.info.version)),
      prose(root.info.summary, { class: "summary" }), prose(root.info.description),
      element("p", { class: "hint" }, root.openapi ? `OpenAPI ${root.openapi}: ` : `AsyncAPI ${root.asyncapi}: `,
        element("a", { href: `/docs/${name}.yaml` }, `${name}.yaml`))),
    ...groups.map((group) => element("section", { class: "group" }, element("h3", {}, group), prose(about[group]),
      all.filter((one) => one.group === group).map((one) => article(name, one)))));
  list.replaceChildren(...groups.map((group) => element("div", {}, element("h2", {}, group),
    element("ul", {}, all.filter((one) => one.group === group).map((one) => element("li", { "data-text": `${one.label} ${one.title ?? ""} ${one.id}`.toLowerCase() },
      element("a", { href: `#${name}/${one.id}`, title: one.title }, badge(one.method), element("span", {}, one.label))))))));
}

function article(name, one) {
  return element("article", { id: `${name}/${one.id}` },
    element("h4", { class: "route" }, badge(one.method), element("code", {}, one.label),
      element("a", { class: "anchor", href: `#${name}/${one.id}`, "aria-label": `Link to ${one.label}` }, "#")),
    one.title && element("p", { class: "summary" }, inline(one.title)),
    ...one.render());
}

function badge(method) {
  return element("span", { class: `method ${method}` }, method.toUpperCase());
}

filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of list.querySelectorAll("li")) {
    item.hidden = !words.every((word) => item.dataset.text.includes(word));
  }
  for (const group of list.children) group.hidden = !group.querySelector("li:not([hidden])");
});

function failed(error) {
  main.replaceChildren(element("p", { class: "note", role: "alert" }, `The document cannot be shown: ${error.message}`));
}

addEventListener("hashchange", () => show().catch(failed));
show().catch(failed);
