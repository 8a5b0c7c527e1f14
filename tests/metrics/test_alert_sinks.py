"""Who is told of alerts: addresses are checked and never shown; each message has bounded tries."""

from __future__ import annotations

import json
import logging

import attrs
import httpx
import pytest
import trio
import trio.testing

from aether.errors import BadInput
from aether.metrics import webhook_service
from aether.metrics.alert_sinks import check_webhooks, is_told, masked, webhook_body
from aether.metrics.events import Event, EventType
from aether.metrics.webhook_service import deliver
from aether.model.alerts import AlertSinksRow, Severity
from aether.model.limits import WEBHOOK_S, WEBHOOK_TRIES_MAX

SECRET = "t0ps3cret"
URL = f"https://ann:{SECRET}@hooks.example.com:8443/services/{SECRET}?key={SECRET}"
EVENT = Event(
    id="7.0",
    at=1.0,
    type=EventType.ALERT_TRIGGERED,
    severity=Severity.CRITICAL,
    subject="cpu.usage:n1",
    summary="cpu.usage of n1 is 0.95",
    details={"metric": "cpu.usage", "nodeId": "n1", "value": 0.95, "threshold": 0.9, "severity": "CRITICAL"},
)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/x",
        "file:///etc/passwd",
        "https:///nohost",
        "hooks.example.com",
        "https://h/a b",
        "https://h/\nHost: evil",
        "https://h:port/",
        "https://[::1",
        "https://h/" + "x" * 2000,
        "https://bücher.example/",
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url):
    with pytest.raises(BadInput) as caught:
        check_webhooks([url])
    assert "address 1" in str(caught.value)
    assert url not in str(caught.value)


def test_good_addresses_pass_and_too_many_or_doubled_ones_do_not():
    check_webhooks([URL, "http://127.0.0.1:9/", "https://[::1]:8443/x"])
    with pytest.raises(BadInput, match="at most 8"):
        check_webhooks([f"http://h/{n}" for n in range(9)])
    with pytest.raises(BadInput, match="twice"):
        check_webhooks(["http://h/", "http://h/"])


def test_of_an_address_scheme_host_and_port_are_shown_alone():
    assert masked(URL) == "https://hooks.example.com:8443/..."
    assert masked("http://[::1]:9/x") == "http://[::1]:9/..."
    assert SECRET not in repr(AlertSinksRow(webhooks=(URL,)))


def test_an_end_is_as_grave_as_what_ends():
    ended = attrs.evolve(EVENT, type=EventType.ALERT_RESOLVED, severity=Severity.INFO)
    mild = attrs.evolve(ended, details={**EVENT.details, "severity": "WARNING"})
    sinks = AlertSinksRow(severity=Severity.CRITICAL)

    assert is_told(EVENT, sinks)
    assert is_told(ended, sinks)
    assert not is_told(mild, sinks)
    assert not is_told(attrs.evolve(EVENT, type=EventType.UPDATE_FAILED), sinks)


def test_the_body_has_the_words_of_the_original_and_the_event():
    body = json.loads(webhook_body(EVENT, "shop"))

    assert (body["type"], body["eventType"], body["cluster"]) == ("THRESHOLD_EXCEEDED", "ALERT_TRIGGERED", "shop")
    assert (body["metric"], body["nodeId"], body["value"], body["id"]) == ("cpu.usage", "n1", 0.95, "7.0")


class Hook:
    """Answers in turn: a status, an exception, or nothing at all."""

    def __init__(self, *answers):
        self.answers, self.times = list(answers), []

    async def __call__(self, url, body, headers):
        self.times.append(trio.current_time())
        answer = self.answers.pop(0)
        if answer is None:
            await trio.sleep_forever()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_webhook_that_fails_is_tried_again_with_growing_pauses(autojump_clock):
    hook = Hook(500, OSError("ConnectError"), 204)

    assert await deliver(hook, URL, b"{}", {}) == ""
    assert [round(b - a, 3) for a, b in zip(hook.times, hook.times[1:], strict=False)] == [1.0, 2.0]


async def test_it_is_given_up_after_some_tries_each_with_an_end(autojump_clock):
    hook = Hook(*[None] * WEBHOOK_TRIES_MAX)

    assert await deliver(hook, URL, b"{}", {}) == f"no answer within {WEBHOOK_S:g} s, {WEBHOOK_TRIES_MAX} times"
    assert len(hook.times) == WEBHOOK_TRIES_MAX


async def test_whatever_else_goes_wrong_is_told_by_its_kind_and_ends_nothing(autojump_clock):
    """A webhook is not worth a node."""
    hook = Hook(*[RuntimeError(f"cannot reach {URL}")] * WEBHOOK_TRIES_MAX)

    assert await deliver(hook, URL, b"{}", {}) == f"RuntimeError, {WEBHOOK_TRIES_MAX} times"


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (301, 1), (429, 3), (408, 3)])
async def test_an_answer_that_will_not_change_is_not_asked_for_again(autojump_clock, status, tries):
    hook = Hook(*[status] * WEBHOOK_TRIES_MAX)

    assert str(status) in await deliver(hook, URL, b"{}", {})
    assert len(hook.times) == tries


def answering(monkeypatch, handler):
    """httpx, with `handler` instead of a network."""
    client = httpx.AsyncClient
    monkeypatch.setattr(
        httpx, "AsyncClient", lambda **options: client(transport=httpx.MockTransport(handler), **options)
    )


@pytest.mark.parametrize(
    "url",
    [URL, f"https://Hooks.Example.com/services/{SECRET}", f"HTTPS://hooks.example.com:443/a/../{SECRET}?x=[1]|{{2}}"],
)
async def test_no_log_shows_where_a_message_went_not_even_that_of_httpx(monkeypatch, caplog, url):
    """httpx says each address at INFO, in its own spelling, and a webhook's address is its password."""
    answering(monkeypatch, lambda _: httpx.Response(200))
    with caplog.at_level(logging.INFO):
        assert await webhook_service.post(url, b"{}", {}) == 200
    assert SECRET not in caplog.text


async def test_what_others_ask_by_httpx_meanwhile_stays_in_the_log(monkeypatch, caplog):
    asked = trio.Event()

    async def slow(_):
        asked.set()
        await trio.testing.wait_all_tasks_blocked()
        return httpx.Response(200)

    answering(monkeypatch, slow)
    with caplog.at_level(logging.INFO):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(webhook_service.post, URL, b"{}", {})
            await asked.wait()
            logging.getLogger("httpx").info("HTTP Request: GET https://other.example.com/")
    assert "other.example.com" in caplog.text
    assert SECRET not in caplog.text


async def test_no_failure_shows_where_a_message_was_to_go(monkeypatch):
    def refused(request):
        raise httpx.ConnectError(f"cannot reach {request.url}")

    answering(monkeypatch, refused)
    with pytest.raises(OSError, match=r"^ConnectError$") as caught:
        await webhook_service.post(URL, b"{}", {})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
