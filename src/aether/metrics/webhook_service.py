"""One message to one webhook, as often as it takes, within bounds.

Knows: httpx, time-outs, which answers are worth another try.
Never: what is told, to whom.
Holds: an address appears in no log and no error, not even in httpx' own; redirects are not followed; no proxy of the
       environment sees an address.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import trio

from aether.model.limits import WEBHOOK_S, WEBHOOK_TRIES_MAX

Post = Callable[[str, bytes, dict[str, str]], Awaitable[int]]
"""(address, body, header fields) -> status. Raises OSError with words that hold nothing of the address."""

BACK_OFF_S: Final = (1.0, 2.0, 4.0)
_AGAIN: Final = frozenset({408, 425, 429})


_posting: Final[ContextVar[bool]] = ContextVar("aether_webhook", default=False)


class _Hush(logging.Filter):
    """httpx says at INFO where each request went, spelt in its own way: what it says in this task is not logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _posting.get()


@contextmanager
def _hushed() -> Generator[None]:
    logger, hush = logging.getLogger("httpx"), _Hush()
    token = _posting.set(True)
    logger.addFilter(hush)
    try:
        yield
    finally:
        logger.removeFilter(hush)
        _posting.reset(token)


async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """See Post. At most WEBHOOK_S."""
    import httpx

    try:
        with _hushed():
            async with httpx.AsyncClient(timeout=WEBHOOK_S, follow_redirects=False, trust_env=False) as client:
                async with client.stream("POST", url, content=body, headers=headers) as answer:
                    return answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(type(error).__name__) from None


async def deliver(send: Post, url: str, body: bytes, headers: dict[str, str]) -> str:
    """ "" once a 2xx came; else why not, after WEBHOOK_TRIES_MAX tries, or fewer where another one is in vain."""
    problem = ""
    for number in range(WEBHOOK_TRIES_MAX):
        if number:
            await trio.sleep(BACK_OFF_S[min(number, len(BACK_OFF_S)) - 1])
        try:
            with trio.fail_after(WEBHOOK_S):
                status = await send(url, body, headers)
        except trio.TooSlowError:
            problem = f"no answer within {WEBHOOK_S:g} s"
        except OSError as error:
            problem = str(error) or type(error).__name__
        except Exception as error:  # noqa: BLE001 - told by its kind alone, for its words may hold the address
            problem = type(error).__name__
        else:
            if 200 <= status < 300:
                return ""
            problem = f"it answered {status}"
            if status < 500 and status not in _AGAIN:
                return problem
    return f"{problem}, {WEBHOOK_TRIES_MAX} times"
