"""What is said of a route at its decorator, and what reaches the node at the edge."""

import pytest

import aether
from aether.slice_api.contract import contract_of
from aether.slice_api.route_options import options_from


def test_options_travel_as_text_and_are_read_back():
    cors = aether.Cors(["https://a.example"], headers=["X-A"], credentials=True, max_age_s=5)
    rate = aether.RateLimit(5, per_s=60, burst=9, by=aether.Header("X-Key"))

    @aether.slice
    class Site:
        @aether.get("/a", cors=cors, rate=rate)
        async def a(self) -> int:
            return 1

        @aether.get("/b")
        async def b(self) -> int:
            return 1

    first, second = contract_of(Site).routes
    assert options_from(first.options) == options_from({**first.options, "unknown": "x"})
    assert (options_from(first.options).cors, options_from(first.options).rate) == (cors, rate)
    assert second.options == {}
    with pytest.raises(aether.BadInput, match="malformed options"):
        options_from({"cors": "{"})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aether.Cors("a.example"), "no origin"),
        (lambda: aether.Cors("null"), "no origin"),
        (lambda: aether.Cors("https://a.example/path"), "no origin"),
        (lambda: aether.Cors("*", credentials=True), "name the origins"),
        (lambda: aether.Cors("*", headers=["a b"]), "no header name"),
        (lambda: aether.RateLimit(0), "whole number"),
        (lambda: aether.RateLimit(1, burst=0), "whole number"),
        (lambda: aether.RateLimit(1, per_s=0), "seconds above 0"),
        (lambda: aether.RateLimit(1, by=aether.Header()), "name the header"),
        (lambda: aether.get("/a", status=404), "a Fault with its own status"),
        (lambda: aether.websocket(None), "aether.websocket takes a path template"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_written(make, words):
    with pytest.raises(aether.ContractError, match=words):
        make()
