// Only users create rooms, and every name carries a mark: the setting `mark`.
//
// An exported interface of the contract is an exported object. An option is undefined where there is nothing. To refuse,
// throw the refusal.

import { get as setting } from "ondol:chat/settings@0.2.0";

export const rooms = {
  create(request) {
    if (request.creator === undefined) refuse("no_creator", undefined, "Only a user can create a room.");
    const wanted = request.name ?? request.creator.nickname;
    const name = `${mark()} ${wanted.trim()}`;
    // `length` counts UTF-16 units, never fewer than characters.
    if (name.length > 100 && [...name].length > 100) refuse("too_long", "name", "The name is too long.");
    return { name, standing: "reuse" };
  },
};

function refuse(code, field, message) {
  throw { code, field, message };
}

// Settings never change while an instance lives: the first call reads this one.
let known;

function mark() {
  known ??= setting("mark") ?? "♨";
  return known;
}
