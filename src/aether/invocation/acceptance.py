"""One-way calls: the caller is told that its call runs, and not what came of it.

Knows: how a request says that it is one-way, and for how long it may run.
Never: tasks, clocks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

import attrs

from aether.errors import BadInput
from aether.invocation.local import Around, Ran
from aether.invocation.reply import Done, Faulted, NotStarted
from aether.model.limits import ONE_WAY_MAX_S

if TYPE_CHECKING:  # a worker starts without what describes contracts
    from aether.slice_api.described import AnyMethod

ONE_WAY: Final = "oneway"  # in CallRequest.extra: seconds that the call may run for

_log = logging.getLogger(__name__)


def read_one_way(extra: Mapping[str, object]) -> float | None:
    """For how long a one-way call may run; None = it is an ordinary one. Raises BadInput."""
    lasts_s = extra.get(ONE_WAY)
    if lasts_s is None:
        return None
    if not isinstance(lasts_s, int | float) or isinstance(lasts_s, bool) or not 0 < lasts_s < math.inf:
        raise BadInput(f"{lasts_s!r:.40} is no time for a one-way call")
    return min(float(lasts_s), ONE_WAY_MAX_S)


@attrs.frozen(eq=False)
class Accepting:
    """What runs a one-way call: `accept` tells its caller, then nobody waits any more; what goes wrong is logged.

    inner  what the call needs besides, such as a key that is kept; name  for the log
    """

    accept: Callable[[], None]
    inner: Around | None
    name: str

    async def __call__(self, method: AnyMethod | None, run: Callable[[], Awaitable[Ran]], /) -> Ran:
        """As Around promises. The caller learns nothing after this, so the arguments were looked at before it."""
        is_accepted = False

        async def accepted() -> Ran:
            nonlocal is_accepted
            is_accepted = True
            self.accept()
            return await run()

        outcome = await (accepted() if self.inner is None else self.inner(method, accepted))
        if not is_accepted:
            if outcome is not None and not isinstance(outcome, NotStarted):
                self.accept()  # it ran before, and its key has the answer
            return outcome
        if isinstance(outcome, Faulted):
            _log.warning("one-way call of %s: %s: %s", self.name, outcome.fault.name, outcome.fault.detail)
        elif not isinstance(outcome, Done):  # a failure was logged where it ran
            _log.warning("one-way call of %s came to nothing: %s", self.name, outcome)
        return outcome
