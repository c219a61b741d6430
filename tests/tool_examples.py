"""A function with every kind of hint, and how to bring tools to a session; for the tests of what tools are made of."""

from __future__ import annotations

import dataclasses
import enum
from typing import Annotated, Any, Literal

import msgspec

import gemini_live as live

FAST = live.ReconnectPolicy(base_s=0.01, cap_s=0.02)


def connect(*tools, setup="gemini-3.8-live", **options):
    return live.connect(setup, auth="key", reconnect=FAST, tools=list(tools), **options)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Place:
    """Where."""

    name: str
    floor: int = 0


class Tree(msgspec.Struct):
    children: list[Tree] = []


class Opaque:
    """Nothing that JSON knows."""


async def order(  # noqa: PLR0913, PLR0917 - one parameter for each kind of hint
    item: str,
    count: int,
    colour: Colour = Colour.RED,
    size: Literal["S", "M"] | None = None,
    places: list[Place] | None = None,
    note: Annotated[str, msgspec.Meta(description="Said by the hint.")] = "",
    extra: Any = None,
) -> str:
    """Place an order
    for something.

    It is paid at once.

    Args:
        item: What to order,
            in words.
        count (int): How many.
        note: Overruled.

    Returns:
        A receipt.
    """
    return f"{count} × {item} {colour} {size} {places} {note} {extra}"
