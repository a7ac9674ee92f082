// The chat page, put together: who you are, the rooms, and the one room that is open. Which room is open stands in
// the address (`#room-3`), so that the browser's Back and Reload do what they should.
// Knows nothing of requests, sockets or how a message is drawn.

import { signIn, remembered, forget } from "./page/identity.js";
import { RoomList } from "./page/rooms.js";
import { RoomView } from "./page/room.js";
import { put } from "./page/language.js";
import { face } from "./page/log.js";
import { carry } from "./page/server.js";

const id = (name) => document.getElementById(name);

let me = null;
const rooms = new RoomList((room) => { location.hash = `room-${room.id}`; });
const view = new RoomView((title) => put(document.querySelector("title"), title));

function roomInAddress() {
  const found = /^#room-([1-9]\d*)$/.exec(location.hash);
  return found ? Number(found[1]) : null;
}

function show() {
  const room = me && roomInAddress();
  document.body.dataset.view = me ? (room ? "room" : "rooms") : "sign-in";
  id("house").hidden = !me;
  if (!me) return;
  const left = view.room;
  rooms.mark(room);
  if (room) {
    view.enter(room, me, rooms.nameOf(room));
  } else {
    view.leave();
    rooms.focus(left);
  }
}

function comeIn(user) {
  me = user;
  carry(me.token);
  id("me-name").textContent = me.nickname;
  id("me-email").textContent = me.email;
  id("me-face").replaceChildren(face(me.nickname, me.profile_url, me.email));
  rooms.start(me);
  show();
}

id("change").addEventListener("click", () => {
  me = null;
  forget();
  rooms.stop();
  view.leave();
  show();
  signIn(comeIn);
});
id("back").addEventListener("click", (event) => {
  event.preventDefault();
  location.hash = "";
});
window.addEventListener("hashchange", show);

const known = remembered();
if (known) comeIn(known);
else signIn(comeIn);
