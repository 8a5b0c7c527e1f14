"""One call to each instance of an artifact.

Knows: the endpoints of the moment; one try at each, all at once.
Never: repeats: an instance that cannot take the call is listed as such.
Holds: the answer comes before the caller's deadline, so that what did answer is not lost with what did not.
"""

from __future__ import annotations

import attrs
import trio

from aether.errors import NoInstance
from aether.invocation.attempts_service import Attempts
from aether.invocation.endpoints import Endpoint, EndpointRegistry
from aether.invocation.outgoing import OutgoingCall
from aether.invocation.reply import Outcome, TimedOut
from aether.model.ids import InstanceId


class Broadcasts:
    """Makes the broadcasts of one node."""

    def __init__(self, attempts: Attempts, registry: EndpointRegistry) -> None:
        self._attempts = attempts
        self._registry = registry

    async def asked(self, call: OutgoingCall) -> dict[InstanceId, Outcome | Exception]:
        """What each instance that takes calls now answered. Raises NoInstance when there is none."""
        endpoints = self._registry.endpoints(call.target)
        if not endpoints:
            raise NoInstance(str(call.target), *self._registry.state(call.target))
        answers: dict[InstanceId, Outcome | Exception] = {}
        spans = {e.instance: call.span.child(call.span.name, call.began) for e in endpoints}
        with trio.move_on_at(call.give_up_at):
            async with trio.open_nursery() as nursery:
                for endpoint in endpoints:
                    leg = attrs.evolve(call, span=spans[endpoint.instance], attempt=1)
                    nursery.start_soon(self._ask, leg, endpoint, answers)
        now = trio.current_time()
        for instance, span in spans.items():
            answers.setdefault(instance, TimedOut(span.hop(now)))
        return dict(sorted(answers.items()))

    async def _ask(self, leg: OutgoingCall, endpoint: Endpoint, answers: dict[InstanceId, Outcome | Exception]) -> None:
        try:
            answers[endpoint.instance] = await self._attempts.once(leg, endpoint)
        except Exception as error:  # noqa: BLE001 - it is listed
            answers[endpoint.instance] = error
