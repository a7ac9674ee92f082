// Shows `:ondol:` in messages as ♨, or as the setting `emoji`. The other fields are those of the default handler.
//
// An exported interface of the contract is an exported object. A u64 is a BigInt, an option is undefined where there is
// nothing, and a payload is a text that holds JSON.

import { get as setting } from "ondol:chat/settings@0.2.0";
import { get as user } from "ondol:chat/users@0.2.0";

export const events = {
  message(message) {
    const sender = user(message.sender);
    return JSON.stringify({
      type: "chat.message",
      message: message.text.replaceAll(":ondol:", emoji()),
      sender: sender.email,
      nickname: sender.nickname,
      profile_picture_url: sender.profileUrl ?? null,
      id: Number(message.id),
      room: Number(message.room),
      seq: Number(message.seq),
      created_at: new Date(Number(message.createdAt)).toISOString(),
      client_id: message.clientId ?? null,
      parent: message.parent === undefined ? null : Number(message.parent),
      // Left out where there is none.
      extra: message.extra,
    });
  },

  join(room, user) {
    return JSON.stringify({ type: "chat.user.join", username: user.nickname });
  },

  leave(room, user) {
    return JSON.stringify({ type: "chat.user.leave", username: user.nickname });
  },

  refusal({ code, message, field }) {
    return JSON.stringify({ type: "error", error_type: "invalid_request", message, code, field });
  },
};

// Settings never change while an instance lives: the first call reads this one.
let known;

function emoji() {
  known ??= setting("emoji") ?? "♨";
  return known;
}
