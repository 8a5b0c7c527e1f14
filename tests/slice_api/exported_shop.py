"""A slice that uses every type of the codec table, for the tests of exports."""

import collections.abc
import dataclasses
import enum
import uuid
from collections.abc import AsyncIterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import attrs

import aether


class Color(enum.Enum):
    """What it looks like."""

    RED = "red"
    BLUE = "blue"


class Odd(enum.Enum):
    PAIR = (1, 2)
    TEXT = "text"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: float = 0.5


class Movie(TypedDict):
    full_title: str
    year: NotRequired[int]


@attrs.frozen
class Cash:
    cents: int


@attrs.frozen
class Card:
    number: str


@attrs.frozen
class Line:
    r"""One line, with a \ and \"""quotes\"""."""

    sku: str
    qty: int = 1
    color: Color = Color.RED
    tags: list[str] = attrs.field(factory=list)
    prices: dict[str, Decimal] = attrs.field(factory=dict)
    price: Decimal = Decimal("1.50")
    since: date = date(2024, 1, 2)
    note: str | None = None
    path: tuple[int, ...] = ()


@attrs.frozen
class Ticket:
    number: int = 1
    ticket_id: uuid.UUID = attrs.field(factory=uuid.uuid4)


@dataclasses.dataclass
class Tree:
    children: "list[Tree]" = dataclasses.field(default_factory=list)


class SoldOut(aether.Fault):
    """Nothing left."""

    status = 410
    title = 'Sold "out"'
    sku: str
    others: list[str] = attrs.field(factory=list)


class Closed(aether.Fault):
    status = 503


@aether.slice(artifact="tests.export:shop:1.2.0")
class Shop:
    """Sells.

    All of it.
    """

    @aether.post("/orders")
    async def place(
        self, customer: str, lines: list[Line], *, express: bool = False, note: str = "a 'b' \"c\""
    ) -> Line:
        """Place it."""
        if not lines:
            raise SoldOut(sku=customer)
        return lines[0]

    @aether.method(idempotent=True)
    async def scalars(
        self, a: bytes, b: float, c: Decimal, d: uuid.UUID, e: datetime, f: date, g: time, h: timedelta, i: None
    ) -> bytes:
        return a

    async def containers(
        self,
        a: set[int],
        b: frozenset[str],
        c: tuple[int, str],
        d: collections.abc.Sequence[int],
        e: dict[int, str],
        f: dict[tuple[int, str], bool],
        g: dict[Color, int],
        h: Any = None,
    ) -> None: ...

    async def named(
        self, a: Color, b: Odd, c: Level, d: Rights, e: Point, f: Movie, g: Tree, h: Cash | Card | None, i: int | str
    ) -> Literal["a", 1, True] | None:
        return "a"

    async def enter(self, ticket: Ticket) -> None: ...

    async def ticks(self, start: int) -> AsyncIterator[Line]:
        """Without end."""
        yield Line(sku="a")
