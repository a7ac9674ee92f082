// The user of this tab. Kept in sessionStorage, so that two tabs are two users.
// Knows nothing of the server, which alone decides whether a name is allowed.

import { put, words } from "./language.js";
import { TEXTS } from "./texts.js";

const KEY = "ondol.identity";
const FIELDS = ["nickname", "user_id", "email", "profile_url"];

const form = document.getElementById("identity");
const nickname = form.elements.nickname;
const problem = document.getElementById("identity-problem");
const guests = Object.keys(TEXTS).filter((key) => key.startsWith("guest_"));
const guest = { key: guests[Math.floor(Math.random() * guests.length)] };
let suggested; // the nickname of the guest, in the language of the moment

// The user who came in on this tab before, or null.
export function remembered() {
  const kept = read();
  return kept?.here ? kept : null;
}

// Keeps what was entered, to fill in the form, but asks again.
export function forget() {
  write({ ...read(), here: false });
}

// Shows the form, filled in, and calls `done` with the user once.
export function signIn(done) {
  const start = { ...stranger(), ...read() };
  for (const field of FIELDS) form.elements[field].value = start[field] ?? "";
  problem.hidden = true;
  form.onsubmit = (event) => {
    event.preventDefault();
    const user = { here: true };
    for (const field of FIELDS) user[field] = form.elements[field].value.trim();
    const token = form.elements.token.value.trim();
    if (token) {
      const named = userOf(token);
      problem.hidden = Boolean(named);
      if (!named) {
        put(problem, { key: "token_unreadable" });
        form.elements.token.focus();
        return;
      }
      Object.assign(user, named, { token });
    }
    const blank = FIELDS.find((field) => field !== "profile_url" && !user[field]);
    problem.hidden = !blank;
    if (blank) {
      put(problem, { key: "fill_in_all" });
      form.elements[blank].focus();
      return;
    }
    write(user);
    done(user);
  };
  nickname.focus();
  nickname.select();
}

document.addEventListener("language", () => {
  if (nickname.value !== suggested) return;
  suggested = words(guest);
  nickname.value = suggested;
});

// Whom a token names, or null. Only to show it: the server alone checks the token, and may read other claims.
function userOf(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0));
    const { sub, nickname, name, email, picture } = JSON.parse(new TextDecoder().decode(bytes));
    const id = String(sub);
    return { user_id: id, nickname: nickname ?? name ?? id, email: email ?? id, profile_url: picture ?? "" };
  } catch {
    return null;
  }
}

// A user to start with, so that trying the page takes one key.
function stranger() {
  const number = 1000 + Math.floor(Math.random() * 9000);
  suggested = words(guest);
  return { nickname: suggested, user_id: `guest-${number}`, email: `guest-${number}@example.com`, profile_url: "" };
}

// Storage may be switched off: then a reload asks for the user again.
function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function write(value) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(value));
  } catch {
    // See above.
  }
}
