"""Only users create rooms, and every name carries a mark: the setting `mark`."""

from functools import cache

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.rooms import Request, RoomDraft, Standing
from wit_world.imports import settings
from wit_world.imports.types import Refusal


class Rooms(exports.Rooms):
    """An exported interface of the contract is a class of this name."""

    def create(self, request: Request) -> RoomDraft:
        if request.creator is None:
            raise refusal("no_creator", None, "Only a user can create a room.")
        wanted = request.creator.nickname if request.name is None else request.name
        name = f"{mark()} {wanted.strip()}"
        if len(name) > 100:
            raise refusal("too_long", "name", "The name is too long.")
        return RoomDraft(name=name, standing=Standing.REUSE)


def refusal(code: str, field: str | None, message: str) -> Err[Refusal]:
    """To refuse, raise this. Any other exception is a fault, and its traceback goes to the server's log."""
    return Err(Refusal(code=code, field=field, message=message))


@cache
def mark() -> str:
    """Settings never change while an instance lives: the first call reads this one."""
    return settings.get("mark") or "♨"
