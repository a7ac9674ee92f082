"""Shows `:ondol:` in messages as ♨, or as the setting `emoji`. The other fields are those of the default handler."""

import json
from datetime import datetime, timedelta, timezone
from functools import cache

from wit_world import exports
from wit_world.imports import settings, users
from wit_world.imports.types import Message, Refusal, User

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Events(exports.Events):
    """An exported interface of the contract is a class of this name. A payload is a text that holds JSON."""

    def message(self, message: Message) -> str:
        sender = users.get(message.sender)
        created_at = EPOCH + timedelta(milliseconds=message.created_at)
        event = {
            "type": "chat.message",
            "message": message.text.replace(":ondol:", emoji()),
            "sender": sender.email,
            "nickname": sender.nickname,
            "profile_picture_url": sender.profile_url,
            "id": message.id,
            "room": message.room,
            "seq": message.seq,
            "created_at": created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "client_id": message.client_id,
            "parent": message.parent,
        }
        if message.extra is not None:
            event["extra"] = message.extra
        return payload(event)

    def join(self, room: int, user: User) -> str | None:
        return payload({"type": "chat.user.join", "username": user.nickname})

    def leave(self, room: int, user: User) -> str | None:
        return payload({"type": "chat.user.leave", "username": user.nickname})

    def refusal(self, refusal: Refusal) -> str:
        event = {"type": "error", "error_type": "invalid_request", "message": refusal.message, "code": refusal.code}
        if refusal.field is not None:
            event["field"] = refusal.field
        return payload(event)


def payload(event: dict) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


@cache
def emoji() -> str:
    """Settings never change while an instance lives: the first call reads this one."""
    return settings.get("emoji") or "♨"
