"""What supervises this process, and what it is told: the notification socket of systemd, without a library.

Knows: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID; the fields that are sent.
Never: when a node is ready or leaves (runner.py).
Holds: a supervisor that is not there, or does not listen, never holds the node up: what cannot be sent at once is lost.

Source: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5).
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from typing import Final, NoReturn

import trio

_log: Final = logging.getLogger("aether.cluster")

ADDRESS: Final = "NOTIFY_SOCKET"
WATCHDOG_USEC: Final = "WATCHDOG_USEC"
WATCHDOG_PID: Final = "WATCHDOG_PID"
STOPPING_LOOK_S: Final = 5.0
STOPPING_MORE_S: Final = 15.0
"""So much more time a node that drains asks for, again and again: a drain ends by itself, a stuck loop asks no more."""
_SHARE: Final = 0.5  # of the watchdog's time, as its page advises
_LEAST_S: Final = 0.05
_USEC: Final = 1_000_000


class Supervisor:
    """Of this process.

    environment  where it says where it listens; without, nothing is ever sent
    process      id of this process: a watchdog that is meant for another one is none of ours
    """

    def __init__(self, environment: Mapping[str, str], process: int) -> None:
        self._address = _address(environment.get(ADDRESS, ""))
        self.watchdog_s: float | None = _watchdog_s(environment, process)
        self._is_heard = True

    @property
    def listens(self) -> bool:
        return self._address is not None

    def starting(self) -> None:
        self._tell("STATUS=waits for a majority of the voters, and catches up")

    def ready(self) -> None:
        """The node takes requests: `systemctl start` and `restart` return now."""
        self._tell("READY=1", "STATUS=ready")

    def stopping(self) -> None:
        self._tell("STOPPING=1", "STATUS=drains", _more())

    async def keep(self, leaving: trio.Event) -> NoReturn:
        """Say again and again that the loop runs, at half the watchdog's time; and that a drain needs time."""
        if not self.listens:
            await trio.sleep_forever()
        while True:
            if self.watchdog_s is not None:
                self._tell("WATCHDOG=1")
            if leaving.is_set():
                self._tell(_more())
            pause_s = STOPPING_LOOK_S if self.watchdog_s is None else min(STOPPING_LOOK_S, self.watchdog_s * _SHARE)
            await trio.sleep(pause_s)

    def _tell(self, *fields: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            ) as sender:
                sender.sendto("\n".join(fields).encode(), self._address)
            self._is_heard = True
        except OSError as error:
            if self._is_heard:
                self._is_heard = False
                _log.warning("the supervisor at %s=%s does not hear this node: %s", ADDRESS, self._address, error)


def _more() -> str:
    return f"EXTEND_TIMEOUT_USEC={STOPPING_MORE_S * _USEC:.0f}"


def _address(text: str) -> str | None:
    """A path, or `@name` in the abstract space of Linux. Other families are for supervisors of virtual machines."""
    if not text:
        return None
    if text.startswith("@"):
        return "\0" + text[1:]
    if text.startswith("/"):
        return text
    _log.warning("%s=%s is neither a path nor @name: the supervisor is told nothing", ADDRESS, text)
    return None


def _watchdog_s(environment: Mapping[str, str], process: int) -> float | None:
    text = environment.get(WATCHDOG_USEC, "")
    if not text or environment.get(WATCHDOG_PID, str(process)) != str(process):
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18 or int(text) == 0:
        _log.warning("%s=%s is no number of microseconds: the watchdog is told nothing", WATCHDOG_USEC, text)
        return None
    return max(int(text) / _USEC, _LEAST_S)
