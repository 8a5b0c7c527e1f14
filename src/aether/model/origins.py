"""Where connections come from, and who holds the most of them.

Knows: which addresses count as one origin, seats by origin in the order of arrival.
Never: sockets, how many there may be, what a seat is.
Holds: each question and each change costs the same, however many origins there are.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterator
from typing import Generic, TypeVar

Seat = TypeVar("Seat")


@functools.lru_cache(maxsize=1_024)
def network_of(address: str) -> str:
    """Whom to count as one client by address: one of IPv6 has a whole network of addresses to ask from.

    An address of IPv4 is the same client in the clothes that a socket for both families gives it.
    """
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    read = getattr(read, "ipv4_mapped", None) or read
    return str(read) if read.version == 4 else str(ipaddress.ip_network((int(read), 64), strict=False))


class Origins(Generic[Seat]):
    """The seats that are taken, each by an origin."""

    def __init__(self) -> None:
        self._origin_of: dict[Seat, str] = {}
        self._seats: dict[str, dict[Seat, None]] = {}
        self._by_count: dict[int, dict[str, None]] = {}  # origins that hold so many seats
        self._most = 0

    def __len__(self) -> int:
        return len(self._origin_of)

    def add(self, seat: Seat, address: str) -> None:
        """`seat` is taken by whoever is at `address`; it was free."""
        origin = network_of(address)
        seats = self._seats.setdefault(origin, {})
        self._recount(origin, len(seats), len(seats) + 1)
        seats[seat] = None
        self._origin_of[seat] = origin

    def drop(self, seat: Seat) -> None:
        """`seat` is free. Nothing happens when it was."""
        origin = self._origin_of.pop(seat, None)
        if origin is None:
            return
        seats = self._seats[origin]
        self._recount(origin, len(seats), len(seats) - 1)
        del seats[seat]
        if not seats:
            del self._seats[origin]

    def held_by(self, address: str) -> int:
        """Seats of the origin of `address`."""
        return len(self._seats.get(network_of(address), ()))

    @property
    def most(self) -> int:
        """Seats of the origin that holds the most."""
        return self._most

    @property
    def greediest(self) -> str:
        """The origin that holds the most, "" when nobody holds any."""
        return next(iter(self._by_count.get(self._most, ())), "")

    def of_greediest(self) -> Iterator[Seat]:
        """Its seats, the oldest first. Neither add nor drop one meanwhile."""
        return iter(self._seats.get(self.greediest, ()))

    def may_displace(self, address: str) -> bool:
        """Whether `address` may have a seat of the greediest, and would still hold no more than that one."""
        return self._most > self.held_by(address) + 1

    def _recount(self, origin: str, before: int, after: int) -> None:
        if before:
            del self._by_count[before][origin]
            if not self._by_count[before]:
                del self._by_count[before]
        if after:
            self._by_count.setdefault(after, {})[origin] = None
        if after > self._most or self._most not in self._by_count:
            self._most = after
