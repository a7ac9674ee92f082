"""The default `messages` handler in Python: it reads a client's frame, and posts the message in it or refuses."""

import json
import re
import unicodedata
from functools import cache
from itertools import accumulate

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import settings
from wit_world.imports.types import Action_Post, Draft, Frame, Frame_Binary, Frame_Body, Refusal


class Messages(exports.Messages):
    """An exported interface of the contract is a class of this name."""

    def receive(self, sender: int, room: int, frame: Frame) -> Action_Post:
        if isinstance(frame, Frame_Binary):
            raise refusal("binary", None, "A message must be sent as text, not as binary data.")
        fields = parse(frame.value)
        # A body is a message by where it was sent, so it may lack a type.
        check_type(fields, may_be_missing=isinstance(frame, Frame_Body))
        return Action_Post(
            Draft(
                text=read_text(fields),
                client_id=read_client_id(fields.get("client_id")),
                parent=read_parent(fields.get("parent")),
                extra=None,
            )
        )


def refusal(code: str, field: str | None, message: str) -> Err[Refusal]:
    """To refuse, raise this. Any other exception is a fault, and its traceback goes to the server's log."""
    return Err(Refusal(code=code, field=field, message=message))


# json takes stack for each level of nesting. A frame that would run out of it is refused, since that would be a fault.
DEPTH_MAX = 500
STRING_OR_OTHER = re.compile(r'"(?:[^"\\]|\\.)*"|[^][{}]')
# json lets half of a surrogate pair through, which no answer can carry.
HALF_PAIR = re.compile(r"[\ud800-\udfff]")


def parse(text: str) -> dict:
    if text.count("[") + text.count("{") > DEPTH_MAX and depth(text) > DEPTH_MAX:
        raise refusal("invalid_json", None, f"This is nested more than {DEPTH_MAX} levels deep.")
    try:
        # A byte order mark does not count, and json would take NaN for a number.
        fields = json.loads(text.removeprefix("\ufeff"), parse_constant=no_constant)
    except ValueError:
        raise refusal("invalid_json", None, "This is not JSON.") from None
    if not isinstance(fields, dict):
        raise refusal("not_an_object", None, "A message must be a JSON object.")
    values = (fields.get("message"), fields.get("client_id"))
    if any(isinstance(value, str) and HALF_PAIR.search(value) for value in values):
        raise refusal("invalid_json", None, "This is not JSON: it has half of a surrogate pair.")
    return fields


def depth(text: str) -> int:
    """How deep the brackets outside of strings nest."""
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in STRING_OR_OTHER.sub("", text)), default=0)


def no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def check_type(fields: dict, *, may_be_missing: bool) -> None:
    if "type" not in fields:
        if not may_be_missing:
            raise refusal("missing_type", "type", 'The type is missing; it must be "chat.message".')
    elif not isinstance(fields["type"], str):
        raise refusal("wrong_type", "type", "The type must be a string.")
    elif fields["type"] != "chat.message":
        raise refusal("unknown_type", "type", 'The type is unknown; it must be "chat.message".')


# White space, what Unicode ignores by default, and a few characters that are drawn with nothing on them.
BLANK = re.compile(
    r"[\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U00013441\U00013442\U0001bca0-\U0001bca3\U0001d159"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*"
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def read_text(fields: dict) -> str:
    if "message" not in fields:
        raise refusal("missing", "message", "The message is missing.")
    if not isinstance(fields["message"], str):
        raise refusal("wrong_type", "message", "The message must be a string.")
    text = fields["message"].strip()
    if BLANK.fullmatch(text):
        raise refusal("blank", "message", "The message must not be blank.")
    if CONTROL_IN_TEXT.search(text):
        why = "The message must not contain control characters other than line breaks and tabs."
        raise refusal("invalid", "message", why)
    # Korean from a Mac arrives decomposed, and counts composed.
    if len(text) > text_length_max() and len(unicodedata.normalize("NFC", text)) > text_length_max():
        raise refusal("too_long", "message", f"The message must have at most {text_length_max()} characters.")
    return text


def read_client_id(client_id: object) -> str | None:
    if client_id is None:
        return None
    if not isinstance(client_id, str) or not 1 <= len(client_id) <= 64 or CONTROL.search(client_id):
        why = "The client_id must be a string of 1 to 64 characters, none of them a control character."
        raise refusal("invalid_client_id", "client_id", why)
    return client_id


def read_parent(parent: object) -> int | None:
    if parent is None:
        return None
    # True is an int in Python, and 7.0 is a whole number in JSON.
    is_whole = type(parent) is int or (type(parent) is float and parent.is_integer())
    if not is_whole or not 1 <= parent < 2**64:
        raise refusal("invalid_parent", "parent", "The parent must be the id of a message: a whole number from 1.")
    return int(parent)


@cache
def text_length_max() -> int:
    """The operator's limit. Settings never change while an instance lives: the first call reads this one."""
    value = settings.get("text_length_max") or "2000"
    if not value.isdecimal() or not 1 <= int(value) <= 1_000_000:
        raise ValueError(
            f"The setting text_length_max takes a whole number of characters from 1 to 1000000, not {json.dumps(value)}."
        )
    return int(value)
