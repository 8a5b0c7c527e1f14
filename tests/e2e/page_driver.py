"""A headless Chromium that a test drives: over the remote debugging pipe, in JSON messages that end in a zero byte."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator

import trio

ANSWERED_S = 30.0
LOOK_S = 0.1
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--no-proxy-server", "--remote-debugging-pipe", "--hide-scrollbars"),
)

# what Chromium answers to an expression whose page was replaced under it
_REPLACED = (
    "Inspected target navigated or closed",
    "Execution context was destroyed.",
    "Cannot find default execution context",
)


class PageReplaced(Exception):
    """The page that was asked was reloaded or left before it answered."""


class Page:
    """One tab. `said` are its console messages, exceptions and the log of the browser about it."""

    def __init__(self, orders: trio.lowlevel.FdStream) -> None:
        self._orders = orders
        self._answers: dict[int, trio.MemorySendChannel[dict]] = {}
        self._number = 0
        self.session = ""
        self.said: list[str] = []

    async def read(self, events: trio.lowlevel.FdStream) -> None:
        rest = b""
        async for part in events:
            *messages, rest = (rest + bytes(part)).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers.pop(message["id"]).send_nowait(message)
                else:
                    self._take(message["method"], message["params"])

    def _take(self, method: str, params: dict) -> None:
        if method == "Runtime.consoleAPICalled":
            self.said.append(f"{params['type']}: {[arg.get('value') for arg in params['args']]}")
        elif method == "Runtime.exceptionThrown":
            self.said.append(f"exception: {json.dumps(params['exceptionDetails'])[:1500]}")
        elif method == "Log.entryAdded":
            entry = params["entry"]
            self.said.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")

    async def order(self, method: str, **params: object) -> dict:
        """What the browser answers. Fails with what it says is wrong."""
        self._number += 1
        sender, receiver = trio.open_memory_channel[dict](1)
        self._answers[self._number] = sender
        message = {"id": self._number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        await self._orders.send_all(json.dumps(message).encode() + b"\0")
        with trio.fail_after(ANSWERED_S):
            answer = await receiver.receive()
        if answer.get("error", {}).get("message") in _REPLACED:
            raise PageReplaced(f"{method}: {answer['error']['message']}")
        assert "error" not in answer, (method, answer)
        return answer["result"]

    async def open(self, url: str) -> None:
        await self.order("Page.navigate", url=url)

    async def run(self, script: str) -> object:
        """The value of an expression in the page, which may be a promise."""
        answer = await self.order("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str, limit_s: float = 30.0) -> object:
        """The value of an expression as soon as it is true, in this page or in the one that is about to replace it."""
        with trio.move_on_after(limit_s):
            while True:
                with contextlib.suppress(PageReplaced):
                    if found := await self.run(script):
                        return found
                await trio.sleep(LOOK_S)
        text = await self.run("document.body.innerText")
        raise AssertionError(f"never true: {script}\n{self.said}\n{text}")

    async def text(self, panel: str) -> str:
        return str(await self.run(f"document.getElementById({panel!r}).innerText"))

    async def key(self, name: str) -> None:
        """Press and let go."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        text = {"text": "\r"} if name == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.order(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=codes[name], **text
            )

    async def type(self, text: str) -> None:
        await self.order("Input.insertText", text=text)

    async def screen(self, *, width: int, height: int, dark: bool) -> None:
        await self.order(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        wanted = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.order("Emulation.setEmulatedMedia", features=wanted)

    async def picture(self, *, whole: bool = False) -> bytes:
        """A screenshot, PNG."""
        answer = await self.order("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])


@contextlib.asynccontextmanager
async def open_page(chromium: str, profile: object) -> AsyncIterator[Page]:
    """A tab of a browser of its own; the browser ends with the block."""
    orders_out, orders_in = os.pipe()
    events_out, events_in = os.pipe()
    # the browser reads orders from descriptor 3 and writes to 4
    script = f'exec 3<&{orders_out} 4>&{events_in}; exec "$0" "$@"'
    browser = subprocess.Popen(  # noqa: ASYNC220 - it only has to be started
        ["/bin/bash", "-c", script, chromium, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(orders_out, events_in),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(orders_out)
    os.close(events_in)
    try:
        async with trio.lowlevel.FdStream(orders_in) as orders, trio.lowlevel.FdStream(events_out) as events:
            page = Page(orders)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(page.read, events)
                made = await page.order("Target.createTarget", url="about:blank")
                attached = await page.order("Target.attachToTarget", targetId=made["targetId"], flatten=True)
                page.session = attached["sessionId"]
                for domain in ("Page", "Runtime", "Log"):
                    await page.order(f"{domain}.enable")
                yield page
                nursery.cancel_scope.cancel()
    finally:
        browser.terminate()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(browser.wait, 10)
