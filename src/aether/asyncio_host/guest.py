"""trio as a guest of a running asyncio loop: begun, told to end, waited for.

Knows: trio's guest mode; what ends first when both end.
Never: clusters, calls.
Holds: whoever began the guest waits for its end, whatever happens to itself meanwhile: a loop that ends before its
       guest would leave it half-way for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import outcome
import trio

from aether.errors import BadInput


class Guest:
    """One guest run of `await main()`. `done` is finished at its end, `failure` is what main raised, if anything."""

    def __init__(self, main: Callable[[], Awaitable[None]]) -> None:
        self._main = main
        self._loop = asyncio.get_running_loop()
        self._scope = trio.CancelScope()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin. Raises BadInput when this thread runs trio already."""
        try:
            trio.lowlevel.start_guest_run(
                self._run,
                run_sync_soon_threadsafe=self._loop.call_soon_threadsafe,
                run_sync_soon_not_threadsafe=self._loop.call_soon,
                done_callback=self._ended,
                host_uses_signal_set_wakeup_fd=True,
            )
        except RuntimeError as error:
            raise BadInput(
                "a cluster cannot be opened in this loop", (f"{error}: one hosted cluster per event loop",)
            ) from error

    def failed(self) -> BaseException:
        """Why the guest ended before it was told to."""
        return self.failure or RuntimeError("the guest ended by itself")

    def cancel(self) -> None:
        """Cancel all of it."""
        self._scope.cancel()

    async def ended(self) -> None:
        """Return when the guest has ended. Cancelled meanwhile: cancel the guest, and still wait for its end."""
        cancelled: asyncio.CancelledError | None = None
        while not self.done.done():
            try:
                await asyncio.shield(self.done)
            except asyncio.CancelledError as error:
                cancelled = error
                self.cancel()
        if cancelled is not None:
            raise cancelled

    async def _run(self) -> None:
        with self._scope:
            await self._main()

    def _ended(self, result: outcome.Outcome[None]) -> None:
        if isinstance(result, outcome.Error):
            self.failure = result.error
        self.done.set_result(None)
