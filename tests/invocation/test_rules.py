"""A call inside a request carries what rules look at, and nothing else of it."""

from aether.invocation.reply import Form
from aether.invocation.rules import CARRIED, carried_on, fitting
from aether.model.limits import TRAFFIC_RULE_CHARS_MAX
from aether.model.traffic_rules import parse_rule
from aether.slice_api.current import Running
from aether.slice_api.http import HttpInput
from aether.slice_api.maps import pack

REQUEST = HttpInput("GET", "/quote", {}, {}, {"x-beta": "yes", "authorization": "secret"}, {"group": "b"})
BETA, GROUP = parse_rule("header:X-Beta=yes"), parse_rule("cookie:group=b")


def test_a_request_fits_by_its_own_header_and_cookie():
    for payload in (REQUEST, REQUEST.to_plain()):
        fits = fitting(payload, Form.HTTP, "", None)
        assert fits(BETA)
        assert fits(GROUP)
        assert not fits(parse_rule("header:x-beta=no"))
        assert not fits(parse_rule("cookie:x-beta=yes"))
        assert not fits(parse_rule("key=yes"))


def test_a_call_inside_it_carries_only_what_rules_look_at():
    carried = carried_on(REQUEST.headers, REQUEST.cookies, {"header:x-beta", "cookie:group", "header:x-other"})
    fits = fitting({}, Form.WIRE, "", Running(carried=carried))
    assert fits(BETA)
    assert fits(GROUP)
    assert b"secret" not in carried[CARRIED]
    assert not carried_on(REQUEST.headers, REQUEST.cookies, {"header:x-other"})


def test_a_value_longer_than_any_rule_is_not_carried():
    assert not carried_on({"x-beta": "y" * (TRAFFIC_RULE_CHARS_MAX + 1)}, {}, {"header:x-beta"})


def test_a_key_is_compared_as_text():
    assert fitting({}, Form.WIRE, "ann", None)(parse_rule("key=ann"))
    assert not fitting({}, Form.WIRE, "", None)(parse_rule("key=ann"))


def test_what_a_peer_says_that_is_nothing_fits_no_rule():
    for raw in (b"\xc1", pack([1]), pack("text"), pack({"header:x-beta": 1})):
        assert not fitting({}, Form.WIRE, "", Running(carried={CARRIED: raw}))(BETA)
    for payload in (None, [], ["GET"]):
        assert not fitting(payload, Form.HTTP, "", None)(BETA)
