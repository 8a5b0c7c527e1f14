"""Which coroutine functions never suspend: told from their code, and in doubt no."""

import dis
import functools
import importlib.util
import types

import pytest
import trio

from aether.slice_api import suspending
from aether.slice_api.suspending import never_suspends, returned


class Shop:
    async def quote(self, sku, qty=1):
        if qty < 0:
            raise ValueError(sku)
        return [qty * price for price in (1, 2, 3)]

    async def nested(self):
        async def inner():
            await trio.sleep(1)

        return inner.__name__

    async def sleeps(self):
        await trio.sleep(1)

    async def sleeps_sometimes(self, really=False):
        if really:
            await trio.sleep(1)

    async def scope(self):
        async with trio.open_nursery():
            pass

    async def loop(self):
        async for _ in self.items():
            pass

    async def comprehension(self):
        return [item async for item in self.items()]

    async def items(self):
        yield 1

    def plain(self):
        return 1

    @types.coroutine
    def by_generator(self):
        yield

    wrapped = functools.partialmethod(quote, "x")


@pytest.mark.parametrize("name", ["quote", "nested"])
def test_what_awaits_nothing_itself_never_suspends(name):
    assert never_suspends(vars(Shop)[name])


@pytest.mark.parametrize(
    "name",
    [
        "sleeps", "sleeps_sometimes", "scope", "loop", "comprehension", "items", "plain", "by_generator", "wrapped",
    ],
)  # fmt: skip
def test_what_awaits_on_any_path_or_is_no_plain_coroutine_function_may_suspend(name):
    assert not never_suspends(vars(Shop)[name])


def test_a_decorated_method_is_judged_by_what_runs_first():
    @functools.wraps(Shop.quote)
    async def around(self, *arguments):
        await trio.lowlevel.checkpoint()
        return await Shop.quote(self, *arguments)

    assert not never_suspends(around)


def test_returned_gives_the_result_or_raises_what_it_raises():
    assert returned(Shop().quote("x", 2)) == [2, 4, 6]
    with pytest.raises(ValueError, match="x"):
        returned(Shop().quote("x", -1))


def test_returned_refuses_a_coroutine_that_suspends():
    @types.coroutine
    def trap():
        yield

    async def suspends():
        await trap()

    with pytest.raises(RuntimeError, match="suspended"):
        returned(suspends())


def test_an_interpreter_whose_instructions_have_other_names_is_not_judged(monkeypatch):
    """One that is newer than this code: then each method is served as one that may wait."""
    with monkeypatch.context() as patched:
        for name in ("GET_AWAITABLE", "GET_ANEXT", "SEND", "YIELD_VALUE"):
            patched.delitem(dis.opmap, name)
        newer = importlib.util.module_from_spec(suspending.__spec__)
        suspending.__spec__.loader.exec_module(newer)
    assert not newer.never_suspends(vars(Shop)["sleeps"])
    assert not newer.never_suspends(vars(Shop)["quote"])
