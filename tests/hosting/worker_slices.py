"""Slices that tests host in their node and in worker processes: a worker imports this file, so it stays small."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Protocol

import trio

import aether

log = logging.getLogger("shop.worker")


class OutOfStock(aether.Fault):
    """There is not enough in stock."""

    status = 409
    sku: str


class Quotes(Protocol):
    async def quote(self, sku: str, qty: int = 1) -> int: ...


@aether.slice(artifact="shop:list-pricing:1.0.0")
class ListPricing(Quotes):
    @aether.method(idempotent=True)
    async def quote(self, sku: str, qty: int = 1) -> int:
        if sku == "none":
            raise OutOfStock(sku=sku)
        if sku == "broken":
            raise ValueError("no such price")
        if sku == "slow":
            with trio.fail_after(0.5):
                await trio.sleep_forever()
        if sku == "hang":
            await trio.sleep_forever()
        if sku == "group":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._fail, sku)
        return 5 * qty

    async def _fail(self, sku: str) -> None:
        raise OutOfStock(sku=sku)

    async def mutate(self, lines: list[str]) -> list[str]:
        lines.append("callee")
        return lines

    @aether.get("/price/{sku}")
    async def price(self, sku: str, qty: int = 1) -> int:
        return 5 * qty

    @aether.blocking
    def read(self, sku: str) -> str:
        return sku.upper()


@aether.slice(artifact="shop:till:1.0.0", concurrency=2, queue=2)
class Till:
    """What a slice can have, in one."""

    quotes: Quotes
    book: aether.Map[str, int] = aether.map("book", entries_max=3)
    currency: str = aether.config("shop.currency", default="EUR")
    token: str = aether.secret("shop.token", default="")
    seen: list[str] = aether.state(factory=list)

    @aether.lifespan
    async def lifespan(self) -> AsyncIterator[None]:
        self.seen.append("started")
        yield
        await self.book.put("stopped", 1)

    async def total(self, sku: str, qty: int) -> int:
        return await self.quotes.quote(sku, qty)

    @aether.method(deadline_s=0.4)
    async def hurried(self, sku: str) -> int:
        return await self.quotes.quote(sku)

    async def patient(self, sku: str) -> str:
        with trio.move_on_after(0.2):
            await self.quotes.quote(sku)
        return "moved on"

    async def everywhere(self, sku: str) -> list[str]:
        heard = await aether.each(self.quotes.quote)(sku)
        return [*map(str, heard.results.values()), *(type(error).__name__ for error in heard.failures.values())]

    async def sent(self, sku: str) -> None:
        await aether.send(self.quotes.quote)(sku)

    async def keyed(self, sku: str) -> int:
        return await aether.call(self.quotes.quote, key=sku, priority="high")(sku)

    async def keep(self, name: str, value: int) -> bool:
        return await self.book.put_if_absent(name, value)

    async def kept(self) -> list[tuple[str, int]]:
        return await self.book.items()

    async def told(self) -> list[str]:
        return [self.currency, self.token, *self.seen]

    async def wait(self, name: str) -> None:
        """Until it is cancelled, and says so."""
        self.seen.append(f"{name} began")
        try:
            await trio.sleep_forever()
        finally:
            self.seen.append(f"{name} cancelled")

    async def finish(self, after_s: float) -> str:
        await trio.sleep(after_s)
        return "finished"

    async def who(self) -> list[str]:
        call = aether.current_call()
        return [call.request_id, call.slice, call.method, call.node]


@aether.slice(artifact="shop:pit:1.0.0", host="process", concurrency=2, queue=50)
class Pit:
    """Everything that a worker must survive, or die of alone."""

    async def pid(self) -> int:
        return os.getpid()

    async def add(self, a: int, b: int) -> int:
        return a + b

    async def hang(self) -> None:
        await trio.sleep_forever()

    async def exit(self, status: int) -> None:
        os._exit(status)

    async def block(self, seconds: float) -> None:
        """The loop stands still."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    async def write(self, text: str) -> None:
        print(text)
        print(text, file=sys.stderr)
        sys.stdout.buffer.write(b"\x00\x00\x00\x05\xff" * 100)
        sys.stdout.flush()

    async def grow(self, mib: int) -> None:
        self.kept = [bytearray(b"x" * 2**20) for _ in range(mib)]
        await trio.sleep_forever()

    async def reserve(self, mib: int) -> int:
        return len(bytearray(mib * 2**20))

    async def log(self, text: str) -> None:
        log.warning("%s", text)

    async def environment(self) -> dict[str, str]:
        return dict(os.environ)

    async def arguments(self) -> list[str]:
        return sys.orig_argv

    async def path(self) -> list[str]:
        return sys.path

    async def large(self, size: int) -> bytes:
        return bytes(size)

    async def say(self, raw: bytes) -> None:
        """Something that the runtime would never say to the node."""
        os.write(int(sys.argv[1]), raw)

    async def leave_a_child(self) -> int:
        """A process that holds everything open that it can get."""
        return subprocess.Popen(["sleep", "60"], close_fds=False).pid  # noqa: ASYNC220 - it only starts

    async def fork(self) -> int:
        """A process that has all of this one, as the pools of multiprocessing do."""
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
        return pid

    async def turn_away(self) -> None:
        """The way to the node is shut, and life goes on."""
        with socket.socket(fileno=os.dup(int(sys.argv[1]))) as end:
            end.shutdown(socket.SHUT_WR)
        await trio.sleep_forever()

    async def log_oddly(self) -> None:
        log.warning("no %s", os.fsdecode(b"caf\xe9.txt"))
        logging.getLogger("shop.\udce9").warning("odd name")
        log.log(2**70, "odd level")

    async def burn(self, seconds: float) -> float:
        """CPU seconds that this process has used, after using so many more."""
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
        return time.process_time()

    @aether.blocking
    def sleep(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            os.sched_yield()
        return os.getpid()


@aether.slice(artifact="shop:late:1.0.0", host="process")
class Late:
    """Its start never ends."""

    @aether.lifespan
    async def lifespan(self) -> AsyncIterator[None]:
        await trio.sleep_forever()
        yield

    async def pid(self) -> int:
        return os.getpid()


@aether.slice(artifact="shop:broken:1.0.0", host="process")
class Broken:
    """Its start raises."""

    @aether.lifespan
    async def lifespan(self) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    async def pid(self) -> int:
        return os.getpid()


@aether.slice(artifact="shop:crashing:1.0.0", host="process")
class Crashing:
    """A background task of it raises when it is told to."""

    told: list[trio.Event] = aether.state(factory=lambda: [trio.Event()])

    @aether.background
    async def work(self) -> None:
        await self.told[0].wait()
        raise RuntimeError("queue lost")

    async def crash(self) -> None:
        self.told[0].set()


@aether.slice(artifact="shop:stubborn:1.0.0", host="process")
class Stubborn:
    """It does not stop."""

    @aether.lifespan
    async def lifespan(self) -> AsyncIterator[None]:
        yield
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    async def pid(self) -> int:
        return os.getpid()


@aether.slice(artifact="shop:ticker:1.0.0")
class Ticker:
    """Streams of every kind."""

    left: list[str] = aether.state(factory=list)

    async def ticks(self, count: int) -> AsyncIterator[int]:
        try:
            for n in range(count):
                yield n
        finally:
            self.left.append("ticks")

    @aether.method(deadline_s=1.0)
    async def brief(self) -> AsyncIterator[int]:
        yield 1

    async def endless(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(10_000)
        finally:
            self.left.append("endless")

    async def failing(self, after: int) -> AsyncIterator[int]:
        for n in range(after):
            yield n
        raise OutOfStock(sku=f"after {after}")

    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([n async for n in numbers])

    async def doubled(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for n in numbers:
            yield 2 * n

    async def who_left(self) -> list[str]:
        return self.left


@aether.slice(artifact="shop:reader:1.0.0")
class Reader:
    """Reads the streams of another slice."""

    ticker: Ticker

    async def sum_of(self, count: int) -> int:
        async with aether.stream(self.ticker.ticks(count)) as ticks:
            return sum([n async for n in ticks])

    async def brief(self) -> int:
        async with aether.stream(self.ticker.brief()) as stream:
            return await anext(stream)

    async def first_of_endless(self) -> int:
        async with aether.stream(self.ticker.endless()) as stream:
            return len(await anext(stream))

    async def failing(self) -> str:
        try:
            async with aether.stream(self.ticker.failing(2)) as stream:
                async for _ in stream:
                    pass
        except OutOfStock as fault:
            return fault.sku
        return ""

    def handed(self, count: int) -> AsyncIterator[int]:
        return self.ticker.ticks(count)

    async def fed(self, count: int) -> int:
        async def numbers() -> AsyncIterator[int]:
            for n in range(count):
                yield n

        return await self.ticker.total(numbers())


TENANT = aether.ContextVar("tests.workers.tenant", str, default="nobody")


@aether.slice(artifact="tests.workers:carried:1.0.0")
class Carried:
    async def seen(self) -> list[str]:
        call = aether.current_call()
        return [TENANT.get(), call.trace_id, call.request_id, call.node, call.slice]


@aether.slice(artifact="tests.workers:carrying:1.0.0")
class Carrying:
    carried: Carried

    async def seen(self) -> list[list[str]]:
        call = aether.current_call()
        own = [TENANT.get(), call.trace_id, call.request_id, call.node, call.slice]
        return [own, await self.carried.seen()]
