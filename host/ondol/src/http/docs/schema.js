// Schemas, as types with their members, and an example of each.

import { element, nameOf, prose, resolve } from "/docs/dom.js";

const DEPTH_MAX = 6;

// The type of a schema in a few words.
export function typeOf(root, given) {
  const named = nameOf(given?.$ref);
  const schema = resolve(root, given);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const several = schema.oneOf ?? schema.anyOf;
  if (several) return several.map((one) => typeOf(root, one)).join(" or ");
  if (schema.allOf) return named ?? typeOf(root, schema.allOf[0]);
  const types = [schema.type ?? (schema.properties ? "object" : "any")].flat();
  return types.map((type) => {
    if (type === "array") return `list of ${typeOf(root, schema.items)}`;
    if (type === "object" && named) return named;
    return schema.format ? `${type} (${schema.format})` : type;
  }).join(" or ");
}

function bounds(schema) {
  const found = [];
  if (schema.minimum !== undefined || schema.maximum !== undefined) {
    found.push(`${schema.minimum ?? "…"} to ${schema.maximum ?? "…"}`);
  }
  if (schema.minLength !== undefined || schema.maxLength !== undefined) {
    found.push(`${schema.minLength ?? 0} to ${schema.maxLength ?? "…"} characters`);
  }
  if (schema.maxItems !== undefined) found.push(`at most ${schema.maxItems}`);
  if (schema.pattern) found.push(schema.pattern);
  if (schema.default !== undefined) found.push(`default ${JSON.stringify(schema.default)}`);
  return found.join(", ");
}

// The members of an object, those of its parts included.
function members(root, schema) {
  const parts = (schema.allOf ?? []).map((part) => members(root, resolve(root, part)));
  return {
    properties: Object.assign({}, ...parts.map((part) => part.properties), schema.properties),
    required: [...parts.flatMap((part) => part.required), ...(schema.required ?? [])],
  };
}

function inner(root, given) {
  const schema = resolve(root, given);
  const variants = (schema.oneOf ?? schema.anyOf ?? []).filter((one) => resolve(root, one).type !== "null");
  if (variants.length === 1) return inner(root, variants[0]);
  if ([schema.type].flat().includes("array")) return inner(root, schema.items ?? {});
  return { schema, variants };
}

// A table of members; nested objects fold out.
export function schemaTable(root, given, depth = 0) {
  const { schema, variants } = inner(root, given);
  if (variants.length > 1) {
    return element("div", {}, variants.map((one) => element("div", { class: "variant" },
      element("p", { class: "type" }, typeOf(root, one)), depth < DEPTH_MAX && schemaTable(root, one, depth + 1))));
  }
  const { properties, required } = members(root, schema);
  const rows = Object.entries(properties).map(([name, member]) => row(root, name, member, required.includes(name), depth));
  if (schema.additionalProperties && typeof schema.additionalProperties === "object") {
    rows.push(row(root, "any other name", schema.additionalProperties, false, depth));
  }
  return rows.length ? element("dl", { class: "members" }, rows) : undefined;
}

function row(root, name, given, required, depth) {
  const schema = resolve(root, given);
  const hint = bounds(schema);
  const below = depth < DEPTH_MAX ? schemaTable(root, given, depth + 1) : undefined;
  return element("div", {},
    element("dt", {}, element("code", {}, name), required && element("span", { class: "required" }, "required")),
    element("dd", {},
      element("span", { class: "type" }, typeOf(root, given)),
      hint && element("span", { class: "hint" }, hint),
      schema.description && prose(schema.description),
      schema.example !== undefined && element("p", { class: "hint" }, "such as ", element("code", {}, JSON.stringify(schema.example))),
      below && element("details", {}, element("summary", {}, "members"), below)));
}

// A value that fits a schema, of the examples in it.
export function example(root, given, depth = 0) {
  const schema = resolve(root, given);
  if (schema.example !== undefined) return schema.example;
  if (schema.examples?.length) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.default !== undefined) return schema.default;
  const several = schema.oneOf ?? schema.anyOf;
  if (several) return depth > DEPTH_MAX ? null : example(root, several[0], depth + 1);
  const type = [schema.type].flat()[0];
  const { properties } = members(root, schema);
  if (type === "object" || schema.allOf || Object.keys(properties).length) {
    if (depth > DEPTH_MAX) return {};
    return Object.fromEntries(Object.entries(properties).map(([name, member]) => [name, example(root, member, depth + 1)]));
  }
  if (type === "array") return depth > DEPTH_MAX ? [] : [example(root, schema.items ?? {}, depth + 1)];
  if (type === "integer" || type === "number") return schema.minimum ?? 0;
  if (type === "boolean") return false;
  return type === "null" ? null : "…";
}
