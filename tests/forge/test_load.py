"""The order stream: what it sends, when it asks again, when it gives up, in virtual time."""

import httpx
import pytest
import trio

from aether.forge.load import ORDER_S, PAUSE_S, PAUSE_S_MAX, OrderStream, pause_s, percentile


def stream(handle, urls=("http://a", "http://b", "http://c")):
    client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    return OrderStream(client, urls, [{"n": 1}, {"n": 2}], "run")


async def test_every_order_is_sent_once_to_the_nodes_in_turn(autojump_clock):
    seen = []

    async def handle(request):
        seen.append((request.url.host, request.headers["idempotency-key"]))
        return httpx.Response(200, json={"orderId": "x"})

    orders = stream(handle)
    await orders.run(rate=10, seconds=3)

    assert len(orders.outcomes) == 30
    assert all(o.placed and not o.repeats for o in orders.outcomes)
    assert {host for host, _ in seen} == {"a", "b", "c"}
    assert len({key for _, key in seen}) == 30
    assert trio.current_time() >= 2.9


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_node_that_cannot_now_is_passed_over_with_the_same_key(autojump_clock, status):
    keys = set()

    async def handle(request):
        keys.add(request.headers["idempotency-key"])
        return httpx.Response(status if request.url.host == "a" else 200, json={})

    orders = stream(handle)
    await orders.run(rate=1, seconds=1)

    (outcome,) = orders.outcomes
    assert (outcome.status, outcome.repeats, len(keys)) == (200, 1, 1)


@pytest.mark.parametrize("status", [400, 404, 409, 422])
async def test_a_definite_answer_is_not_asked_for_again(autojump_clock, status):
    orders = stream(lambda _: httpx.Response(status, json={"fault": "X"}))
    await orders.run(rate=1, seconds=1)

    (outcome,) = orders.outcomes
    assert (outcome.refused, outcome.failed, outcome.repeats) == (True, False, 0)


async def test_an_internal_error_is_a_failure_at_once(autojump_clock):
    """500 means a defect; repeating it would hide it."""
    orders = stream(lambda _: httpx.Response(500, text="no json"))
    await orders.run(rate=1, seconds=1)

    (outcome,) = orders.outcomes
    assert (outcome.failed, outcome.repeats) == (True, 0)
    assert "no JSON" in outcome.problem


async def test_an_order_that_nobody_answers_fails_at_its_deadline(autojump_clock):
    async def handle(request):
        await trio.sleep_forever()

    orders = stream(handle)
    await orders.run(rate=1, seconds=1)

    (outcome,) = orders.outcomes
    assert outcome.failed
    assert outcome.latency_s == pytest.approx(ORDER_S, abs=1)
    assert "TooSlowError" in outcome.problem


async def test_a_node_that_is_gone_is_passed_over(autojump_clock):
    async def handle(request):
        if request.url.host == "a":
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={})

    orders = stream(handle)
    await orders.run(rate=1, seconds=1)

    assert orders.outcomes[0].placed


async def test_a_burst_says_how_many_are_unanswered(autojump_clock):
    async def handle(request):
        await trio.sleep(1)
        return httpx.Response(200, json={})

    orders = stream(handle)
    async with trio.open_nursery() as nursery:
        assert await orders.burst(nursery, size=5, wanted=3) == 5
    assert orders.in_flight == 0


async def test_a_burst_answered_too_fast_gives_up(autojump_clock):
    orders = stream(lambda _: httpx.Response(200, json={}))
    async with trio.open_nursery() as nursery:
        assert await orders.burst(nursery, size=3, wanted=2) == 0
    assert len(orders.outcomes) == 15


def test_a_client_that_asks_again_steps_back():
    """Hundreds of clients that repeat at once keep an overloaded cluster down."""
    pauses = [pause_s(repeats, 1.0) for repeats in range(100)]

    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(PAUSE_S)
    assert pauses[-1] == pytest.approx(PAUSE_S_MAX)
    assert pause_s(50, 0.0) == pytest.approx(PAUSE_S_MAX / 2)


@pytest.mark.parametrize(("values", "share", "found"), [([3, 1, 2], 0.5, 2), ([5], 0.99, 5), (range(100), 0.99, 99)])
def test_percentiles_are_by_nearest_rank(values, share, found):
    assert percentile(list(values), share) == found


def test_the_percentile_of_nothing_is_no_number():
    assert str(percentile([], 0.5)) == "nan"
