"""Middleware: one chain around calls over HTTP and not, in order, refusing by raising."""

import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

import aether


class Forbidden(aether.Fault):
    """You may not."""

    status = 403


@aether.slice(artifact="test.middleware:safe:1.0.0")
class Safe:
    @aether.get("/open/{number}")
    async def open(self, number: int) -> int:
        if number < 0:
            raise KeyError(number)
        return number

    @aether.get("/count")
    async def count(self, upto: int = 2) -> AsyncIterator[int]:
        for number in range(upto):
            yield number


class Recorder:
    """Two middlewares that write down what passes, and refuse the number 13."""

    def __init__(self):
        self.seen = []

    def named(self, name):
        @contextlib.asynccontextmanager
        async def middleware(call: aether.ServedCall):
            self.seen.append((name, "enter", call.method, dict(call.arguments), call.template))
            if name == "inner" and call.arguments.get("number") == 13:
                raise Forbidden
            try:
                yield
            except Exception as error:
                self.seen.append((name, type(error).__name__))
                raise
            self.seen.append((name, "leave"))

        return middleware


async def test_the_first_is_outermost_for_calls_with_and_without_http():
    recorder = Recorder()
    chain = [recorder.named("outer"), recorder.named("inner")]
    async with aether.Cluster.open(Safe, http=0, middleware=chain) as cluster:
        assert await cluster.get(Safe).open(7) == 7
        expected = [
            ("outer", "enter", "open", {"number": 7}, ""),
            ("inner", "enter", "open", {"number": 7}, ""),
            ("inner", "leave"),
            ("outer", "leave"),
        ]
        assert recorder.seen == expected
        recorder.seen.clear()
        async with httpx.AsyncClient(base_url=cluster.http_url, trust_env=False) as client:
            assert (await client.get("/open/7")).json() == 7
            assert recorder.seen[0] == ("outer", "enter", "open", {"number": 7}, "/open/{number}")
            assert recorder.seen[2:] == expected[2:]
            recorder.seen.clear()
            assert (await client.get("/count")).text == "0\n1\n"
            assert recorder.seen[-2:] == [("inner", "leave"), ("outer", "leave")]


async def test_it_refuses_by_raising_and_sees_what_the_method_raised():
    recorder = Recorder()
    async with aether.Cluster.open(
        Safe, http=0, middleware=[recorder.named("outer"), recorder.named("inner")]
    ) as cluster:
        with pytest.raises(Forbidden):
            await cluster.get(Safe).open(13)
        assert recorder.seen[-1] == ("outer", "Forbidden")
        async with httpx.AsyncClient(base_url=cluster.http_url, trust_env=False) as client:
            assert (await client.get("/open/13")).status_code == 403
        with pytest.raises(aether.CallFailed, match="KeyError"):
            await cluster.get(Safe).open(-1)
        assert recorder.seen[-2:] == [("inner", "KeyError"), ("outer", "KeyError")]
        async with aether.stream(cluster.get(Safe).count(3)) as numbers:
            assert [number async for number in numbers] == [0, 1, 2]


async def test_one_that_swallows_an_error_is_told_so():
    @contextlib.asynccontextmanager
    async def swallowing(_: aether.ServedCall):
        with contextlib.suppress(KeyError):
            yield

    async with aether.Cluster.open(Safe, middleware=[swallowing]) as cluster:
        with trio.fail_after(10), pytest.raises(aether.CallFailed, match="swallowed"):
            await cluster.get(Safe).open(-1)
