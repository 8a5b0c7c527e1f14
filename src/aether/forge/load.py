"""A stream of real HTTP orders at a fixed rate, repeated on another node when one does not answer.

Knows: rates, idempotency keys, what a status code allows a client to do next.
Never: what an order contains, how nodes are started.
Holds: every order ends as placed, refused or failed; repeats stop at the order's own deadline.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import attrs
import httpx
import trio

ORDER_S = 20.0  # an order that has no answer by then has failed
ATTEMPT_S = 3.0  # a node that is silent for this long is passed over
PAUSE_S = 0.02  # before the first repeat; doubled for each further one, up to PAUSE_S_MAX, with jitter
PAUSE_S_MAX = 0.64
SENT_S = 0.005
BURSTS_MAX = 5
IN_FLIGHT_MAX = 150  # beyond this the stream waits: a cluster that is behind is not buried; each holds a connection
REPEATABLE = frozenset({429, 502, 503, 504})


@attrs.frozen(kw_only=True)
class OrderOutcome:
    """What became of one order, as its client saw it.

    sent_s, latency_s  on the clock of the run; repeats  how many times the client asked again
    status             of the last answer, 0 when there was none; answer  its JSON
    """

    key: str
    order: Mapping[str, object]
    sent_s: float
    latency_s: float
    repeats: int
    status: int
    answer: Mapping[str, object]
    problem: str = ""

    @property
    def placed(self) -> bool:
        return 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Refused for a business reason: a definite answer that no repeat would change."""
        return 400 <= self.status < 500 and self.status not in REPEATABLE

    @property
    def failed(self) -> bool:
        return not self.placed and not self.refused


@attrs.define
class OrderStream:
    """Sends orders to `urls` in turn. Read `outcomes` and `in_flight` at any time.

    held_s  how long the stream waited because the cluster was behind: a rate that was not kept must be told
    """

    client: httpx.AsyncClient
    urls: Sequence[str]
    orders: Sequence[Mapping[str, object]]
    run_key: str
    path: str = "/api/orders"
    outcomes: list[OrderOutcome] = attrs.field(factory=list[OrderOutcome])
    in_flight: int = 0
    held_s: float = 0.0
    on_outcome: Callable[[OrderOutcome], None] = lambda _: None
    _began: float = attrs.field(factory=trio.current_time, init=False)
    _numbers: Iterator[int] = attrs.field(factory=itertools.count, init=False)

    @property
    def now_s(self) -> float:
        """Seconds on the clock of this stream."""
        return trio.current_time() - self._began

    async def run(self, rate: float, seconds: float) -> None:
        """Send `rate` orders per second for `seconds`, each in its own task; returns when all have an outcome."""
        self._began = began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(round(rate * seconds)):
                due = began + number / rate + self.held_s
                await trio.sleep_until(due)
                while self.in_flight >= IN_FLIGHT_MAX:  # the cluster is far behind: do not bury it
                    await trio.sleep(PAUSE_S)
                self.held_s += max(0.0, trio.current_time() - due - PAUSE_S)
                nursery.start_soon(self._order)

    async def burst(self, nursery: trio.Nursery, size: int, wanted: int) -> int:
        """Send `size` orders at once, on top of the rate; returns how many are unanswered while at least `wanted` are.

        Gives up after a few bursts and returns what it reached.
        """
        for _ in range(BURSTS_MAX):
            for _ in range(size):
                nursery.start_soon(self._order)
            await trio.sleep(SENT_S)  # let them reach the wire
            if self.in_flight >= wanted:
                break
        return self.in_flight

    async def _order(self) -> None:
        number = next(self._numbers)
        key, order, first = f"{self.run_key}-{number}", self.orders[number % len(self.orders)], number % len(self.urls)
        self.in_flight += 1
        began = self._began
        sent = trio.current_time()
        repeats, status, answer, problem = -1, 0, dict[str, object](), "no answer"
        with trio.move_on_after(ORDER_S):
            for url in self._turns(first):
                repeats += 1
                status, answer, problem = await self._ask(url, key, order)
                if status and status not in REPEATABLE:
                    break
                await trio.sleep(pause_s(repeats, random.random()))
        self.in_flight -= 1
        outcome = OrderOutcome(
            key=key,
            order=order,
            sent_s=sent - began,
            latency_s=trio.current_time() - sent,
            repeats=max(0, repeats),
            status=status,
            answer=answer,
            problem=problem,
        )
        self.outcomes.append(outcome)
        self.on_outcome(outcome)

    def _turns(self, first: int) -> Iterator[str]:
        return itertools.cycle([*self.urls[first:], *self.urls[:first]])

    async def _ask(self, url: str, key: str, order: Mapping[str, object]) -> tuple[int, dict[str, object], str]:
        """One attempt: (status, JSON, what went wrong). Status 0 when the node did not answer."""
        try:
            with trio.fail_after(ATTEMPT_S):
                answer = await self.client.post(url + self.path, json=order, headers={"Idempotency-Key": key})
        except (httpx.HTTPError, trio.TooSlowError) as error:
            return 0, {}, f"{url}: {type(error).__name__} {error}"
        try:
            body = answer.json()
        except ValueError:
            return answer.status_code, {}, f"{url}: {answer.status_code} with no JSON"
        fields = cast("dict[str, object]", body) if isinstance(body, dict) else {}
        return answer.status_code, fields, "" if answer.is_success else answer.text


def pause_s(repeats: int, jitter: float) -> float:
    """Seconds before the next repeat: an overloaded cluster recovers only if its clients step back."""
    return min(PAUSE_S_MAX, PAUSE_S * 2.0 ** min(repeats, 16)) * (0.5 + jitter / 2)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie, by the nearest rank; NaN when there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
