// The default `messages` handler in JavaScript: it reads a client's frame, and posts the message in it or refuses.
//
// An exported interface of the contract is an exported object. A variant is { tag, val }, a u64 is a BigInt, and an
// option is undefined where there is nothing. To refuse, throw the refusal.

import { get as setting } from "ondol:chat/settings@0.2.0";

export const messages = {
  receive(sender, room, frame) {
    if (frame.tag === "binary") refuse("binary", undefined, "A message must be sent as text, not as binary data.");
    const fields = parse(frame.val);
    // A body is a message by where it was sent, so it may lack a type.
    checkType(fields.type, frame.tag === "body");
    return {
      tag: "post",
      val: {
        text: readText(fields.message),
        clientId: readClientId(fields.client_id),
        parent: readParent(fields.parent),
        extra: undefined,
      },
    };
  },
};

function refuse(code, field, message) {
  throw { code, field, message };
}

// JSON.parse lets half of a surrogate pair through, which no answer can carry.
const HALF_PAIR = /[\ud800-\udfff]/u;

function parse(json) {
  let fields;
  try {
    // JSON.parse does not skip a byte order mark.
    fields = JSON.parse(json.replace(/^\ufeff/, ""));
  } catch {
    refuse("invalid_json", undefined, "This is not JSON.");
  }
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
    refuse("not_an_object", undefined, "A message must be a JSON object.");
  }
  if ([fields.message, fields.client_id].some((value) => typeof value === "string" && HALF_PAIR.test(value))) {
    refuse("invalid_json", undefined, "This is not JSON: it has half of a surrogate pair.");
  }
  return fields;
}

function checkType(type, mayBeMissing) {
  if (type === "chat.message" || (type === undefined && mayBeMissing)) return;
  if (type === undefined) refuse("missing_type", "type", 'The type is missing; it must be "chat.message".');
  if (typeof type !== "string") refuse("wrong_type", "type", "The type must be a string.");
  refuse("unknown_type", "type", 'The type is unknown; it must be "chat.message".');
}

// White space, what Unicode ignores by default, and a few characters that are drawn with nothing on them.
const BLANK = new RegExp(
  "^[\\s\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800" +
    "\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufff8\\u{13441}\\u{13442}\\u{1bca0}-\\u{1bca3}\\u{1d159}" +
    "\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e0fff}]*$",
  "u",
);
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;
const CONTROL_IN_TEXT = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/;

function readText(message) {
  if (message === undefined) refuse("missing", "message", "The message is missing.");
  if (typeof message !== "string") refuse("wrong_type", "message", "The message must be a string.");
  const text = message.trim();
  if (BLANK.test(text)) refuse("blank", "message", "The message must not be blank.");
  if (CONTROL_IN_TEXT.test(text)) {
    refuse("invalid", "message", "The message must not contain control characters other than line breaks and tabs.");
  }
  const max = textLengthMax();
  // `length` counts UTF-16 units, never fewer than characters.
  if (text.length > max && characters(text) > max) {
    refuse("too_long", "message", `The message must have at most ${max} characters.`);
  }
  return text;
}

// Korean from a Mac arrives decomposed and counts composed. The engine has no `normalize`, so vowels and final consonants
// that follow are left out.
function characters(text) {
  return [...text.replace(/[\u1160-\u11ff]/g, "")].length;
}

function readClientId(id) {
  if (id === undefined || id === null) return undefined;
  const isId = typeof id === "string" && id !== "" && [...id].length <= 64 && !CONTROL.test(id);
  if (!isId) {
    const message = "The client_id must be a string of 1 to 64 characters, none of them a control character.";
    refuse("invalid_client_id", "client_id", message);
  }
  return id;
}

function readParent(parent) {
  if (parent === undefined || parent === null) return undefined;
  if (!Number.isSafeInteger(parent) || parent < 1) {
    refuse("invalid_parent", "parent", "The parent must be the id of a message: a whole number from 1.");
  }
  return BigInt(parent);
}

// Settings never change while an instance lives: the first call reads this one.
let lengthMax;

function textLengthMax() {
  if (lengthMax === undefined) {
    const value = setting("text_length_max") ?? "2000";
    const range = "a whole number of characters from 1 to 1000000";
    if (!/^\d+$/.test(value) || value < 1 || value > 1_000_000) {
      fault(`The setting text_length_max takes ${range}, not ${JSON.stringify(value)}.`);
    }
    lengthMax = Number(value);
  }
  return lengthMax;
}

// Whatever is thrown is taken for a refusal, so a fault prints its reason first, and then throws what is none.
function fault(reason) {
  console.error(reason);
  throw new Error(reason);
}
