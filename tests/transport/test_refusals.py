"""What the log hears of those who are turned away."""

import logging

import pytest
import trio

from aether.model.limits import REFUSAL_TOLD_S, REFUSAL_WORDS_MAX, REFUSALS_KEPT_MAX
from aether.transport.counters import Counters
from aether.transport.refusals import Refusals
from aether.wire.session import Refused, RefusedCode

REVOKED = Refused(RefusedCode.CERTIFICATE, "its certificate is revoked")


@pytest.fixture
def refusals():
    return Refusals("node-1", Counters())


def lines(caplog):
    return [record.getMessage() for record in caplog.records]


async def test_who_knocks_again_and_again_is_told_once_a_minute_with_the_count(refusals, caplog, autojump_clock):
    caplog.set_level(logging.INFO, "aether.transport")
    for port in range(100):
        refusals.turned_away(f"10.0.0.7:{port}", REVOKED)
        await trio.sleep(REFUSAL_TOLD_S / 101)
    assert lines(caplog) == ["node-1: refused 10.0.0.7:0: its certificate is revoked"]
    await trio.sleep(REFUSAL_TOLD_S)
    refusals.turned_away("10.0.0.7:999", REVOKED)
    assert lines(caplog)[1:] == ["node-1: refused 10.0.0.7:999: its certificate is revoked (and 99 times before)"]
    assert refusals._counters.refused == {"certificate": 101}


async def test_another_host_and_another_reason_are_news(refusals, caplog):
    caplog.set_level(logging.INFO, "aether.transport")
    refusals.turned_away("10.0.0.7:1", REVOKED)
    refusals.turned_away("10.0.0.8:1", REVOKED)
    refusals.turned_away("10.0.0.7:2", Refused(RefusedCode.CERTIFICATE, "its certificate has expired"))
    refusals.broke_off("10.0.0.7:3", "closed during the handshake")
    assert len(lines(caplog)) == 4


async def test_what_is_remembered_is_bounded(refusals):
    for host in range(2 * REFUSALS_KEPT_MAX):
        refusals.broke_off(f"10.0.{host}.1:5", "closed during the handshake")
    assert len(refusals._told) == REFUSALS_KEPT_MAX


@pytest.mark.parametrize("host", ["10.0.0.7", "[2001:db8::{:x}]"])
async def test_a_host_that_says_something_else_each_time_fills_no_log(refusals, caplog, autojump_clock, host):
    """Reasons repeat what a stranger says, such as the name of its cluster; and one has a whole network of IPv6."""
    caplog.set_level(logging.INFO, "aether.transport")
    for minute in (1, 2):
        for number in range(200):
            said = Refused(RefusedCode.OTHER_CLUSTER, f"it is of the cluster {minute}-{number}")
            refusals.turned_away(f"{host.format(number)}:{number}", said)
        assert len(lines(caplog)) == minute * (REFUSAL_WORDS_MAX + 1)
        await trio.sleep(REFUSAL_TOLD_S)
    assert lines(caplog)[-1].endswith("(and 191 times before)")
    refusals.turned_away("10.0.0.9:1", REVOKED)
    assert "10.0.0.9:1" in lines(caplog)[-1], "a neighbour is heard all the same"
