// Elements, and texts with `code` in them. Nothing is parsed as HTML.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return made;
}

// A paragraph of a document, in which backquotes mark code.
export function prose(text, attributes = {}) {
  if (!text) return undefined;
  return element("p", attributes, inline(text));
}

export function inline(text) {
  return String(text).split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

export function json(value) {
  return element("pre", {}, element("code", {}, JSON.stringify(value, null, 2)));
}

// What a reference inside the document leads to. Members beside it win.
export function resolve(root, given) {
  let value = given;
  const seen = new Set();
  while (value && value.$ref && !seen.has(value.$ref)) {
    seen.add(value.$ref);
    const { $ref, ...beside } = value;
    const target = $ref.slice(2).split("/").reduce((at, name) => at?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], root);
    value = { ...target, ...beside };
  }
  return value ?? {};
}

export function nameOf(reference) {
  return reference?.split("/").pop();
}
