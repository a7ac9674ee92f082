// Operations of an OpenAPI and of an AsyncAPI document: where, with what, and what comes back.

import { element, inline, json, nameOf, prose, resolve } from "/docs/dom.js";
import { example, schemaTable, typeOf } from "/docs/schema.js";

const METHODS = ["get", "head", "post", "put", "patch", "delete"];

// Every operation, as { id, group, label, method, title, render }.
export function operations(root) {
  return root.asyncapi ? frames(root) : calls(root);
}

function calls(root) {
  const found = [];
  for (const [path, item] of Object.entries(root.paths)) {
    for (const method of METHODS.filter((method) => item[method])) {
      const call = item[method];
      const parameters = [...(item.parameters ?? []), ...(call.parameters ?? [])].map((one) => resolve(root, one));
      found.push({
        id: call.operationId, group: call.tags?.[0] ?? "other", method, label: path, title: call.summary,
        render: () => renderCall(root, call, parameters),
      });
    }
  }
  return found;
}

function renderCall(root, call, parameters) {
  const body = call.requestBody && resolve(root, call.requestBody);
  return [
    prose(call.description),
    parameters.length > 0 && section("Parameters", element("dl", { class: "members" }, parameters.map((one) => parameter(root, one)))),
    body && section("Body", prose(body.description), contents(root, body.content)),
    section("Answers", Object.entries(call.responses).map(([status, given]) => {
      const answer = resolve(root, given);
      return element("details", { open: status === "200" || status === "201" },
        element("summary", {}, element("code", { class: "status" }, status === "default" ? "errors" : status), " ", inline(answer.description)),
        contents(root, answer.content ?? {}));
    })),
  ];
}

function parameter(root, one) {
  return element("div", {},
    element("dt", {}, element("code", {}, one.name), element("span", { class: "hint" }, one.in),
      one.required && element("span", { class: "required" }, "required")),
    element("dd", {}, element("span", { class: "type" }, typeOf(root, one.schema)),
      prose(one.description),
      one.example !== undefined && element("p", { class: "hint" }, "such as ", element("code", {}, String(one.example)))));
}

function contents(root, content) {
  return Object.entries(content).map(([type, { schema }]) => element("div", { class: "content" },
    element("p", { class: "type" }, element("code", {}, type), " ", typeOf(root, schema)),
    schemaTable(root, schema),
    type === "application/json" && element("details", { class: "example" }, element("summary", {}, "example"), json(example(root, schema)))));
}

function section(title, ...children) {
  return element("section", {}, element("h4", {}, title), ...children);
}

// The frames of a WebSocket. The client's operation is what the server receives.
function frames(root) {
  const found = [];
  for (const [id, operation] of Object.entries(root.operations)) {
    const group = operation.action === "receive" ? "from the client" : "to the client";
    for (const reference of operation.messages) {
      const name = nameOf(reference.$ref);
      const message = resolve(root, reference);
      found.push({
        id: `${id}-${name}`, group, method: operation.action === "receive" ? "send" : "hear", label: message.name ?? name,
        title: message.summary ?? message.title,
        render: () => [prose(message.description), section("Frame", element("div", { class: "content" },
          schemaTable(root, message.payload),
          element("details", { class: "example" }, element("summary", {}, "example"),
            json(message.examples?.[0]?.payload ?? example(root, message.payload)))))],
      });
    }
  }
  return found;
}
