"""Who may ask what over loopback: a page in the operator's browser may not, nor may a stranger on the machine."""

from __future__ import annotations

import attrs
import pytest

DEPLOY = {"artifact": "shop:pricing:1.0.0"}


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LocalHost:1",
        "127.0.0.1",
        "127.0.0.1:9",
        "[::1]",
        "[::1]:8080",
        "node-1.example:8080",
    ],
)
async def test_the_names_of_this_node_are_welcome(world, host):
    """Loopback by any of its names, and the advertised one."""
    assert (await world.ask("GET", "/status", host=host)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil",
        "localhost@evil",
        "[::1",
        "::1",
        "[127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "127.1",
    ],
)
@pytest.mark.parametrize("target", ["/status", "/health/live", "/nothing", "/openapi.json"])
async def test_any_other_host_is_misdirected(world, host, target):
    """DNS rebinding: a page makes its own name point at 127.0.0.1, and the browser thinks it the same origin."""
    answer = await world.ask("GET", target, host=host)
    assert answer.status == 421
    assert "--advertise" in answer.json["detail"]


@pytest.mark.parametrize("host", ["10.1.2.3:8080", "127.0.0.2", "[fd00::7]:8080", "[::2]"])
async def test_a_node_is_asked_by_any_address(world, host):
    """Nobody can make an address point elsewhere. Prometheus and the kubelet ask a pod by its own."""
    assert (await world.ask("GET", "/status", host=host)).status == 200
    answer = await world.ask("GET", "/status", host=host, headers={"origin": "http://evil.example"})
    assert answer.status == 403


@pytest.mark.parametrize("verb", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:9999", "https://evil.example:8080", "http://localhost"]
)
async def test_a_page_of_another_origin_is_refused_whatever_it_asks(world, verb, origin):
    """Another port of localhost is another origin too: some other developer tool may be compromised."""
    answer = await world.ask(verb, "/deploy" if verb == "POST" else "/status", DEPLOY, headers={"origin": origin})
    assert answer.status == 403
    assert "Access-Control-Allow-Origin" not in answer.response.headers
    assert not world.operator.asked


async def test_a_page_of_this_node_is_welcome(world):
    """The dashboard is served from here."""
    assert (await world.ask("GET", "/status", headers={"origin": "http://localhost:8080"})).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site"])
async def test_a_change_that_a_browser_marks_as_foreign_is_refused(world, site):
    """Fetch metadata catches what sends no Origin."""
    assert (await world.ask("POST", "/deploy", DEPLOY, headers={"sec-fetch-site": site})).status == 403


@pytest.mark.parametrize("token", [None, "", "wrong", "t0ken ä", "T0KEN"])
async def test_a_change_needs_the_admin_token(world, token):
    """Whoever can open a local socket is a viewer, no more."""
    answer = await world.ask("POST", "/deploy", DEPLOY, token=token)
    assert answer.status == 401
    assert answer.response.headers["WWW-Authenticate"].startswith("Bearer")
    assert "Authorization: Bearer" in answer.json["detail"]
    assert not world.operator.asked


async def test_the_scheme_of_the_token_is_bearer_in_any_case(world):
    """Schemes are case-insensitive; other schemes are not ours."""
    assert (
        await world.ask("POST", "/deploy", DEPLOY, token=None, headers={"authorization": "bearer t0ken"})
    ).status == 200
    assert (
        await world.ask("POST", "/deploy", DEPLOY, token=None, headers={"authorization": "Basic t0ken"})
    ).status == 401


async def test_reading_needs_no_token(world):
    """An anonymous caller over loopback may look."""
    assert (await world.ask("GET", "/slices", token=None)).status == 200


async def test_without_a_token_nobody_may_change_anything_unless_insecure(world):
    """An empty token must not match an empty token."""
    world.access = attrs.evolve(world.access, token="")
    for token in (None, ""):
        assert (await world.ask("POST", "/deploy", DEPLOY, token=token)).status == 401
    world.access = attrs.evolve(world.access, insecure=True)
    assert (await world.ask("POST", "/deploy", DEPLOY, token=None)).status == 200


@pytest.mark.parametrize(
    ("path", "content_type", "status"),
    [
        ("/deploy", None, 415),
        ("/deploy", "text/plain", 415),
        ("/deploy", "application/x-www-form-urlencoded", 415),
        ("/deploy", "multipart/form-data; boundary=x", 415),
        ("/deploy", "application/toml", 415),
        ("/deploy", "application/json", 200),
        ("/deploy", "Application/JSON; charset=utf-8", 200),
        ("/blueprint", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_a_change_comes_as_json_or_toml(world, path, content_type, status):
    """The types that a plain HTML form can send are refused, so that no form can change anything."""
    answer = await world.ask("POST", path, DEPLOY, content_type=content_type)
    assert answer.status == status
    if status == 415:
        assert "Content-Type: application/json" in answer.json["detail"]


def test_the_token_is_not_shown_by_repr(world):
    """It would end in a log."""
    assert "t0ken" not in repr(world.access)


@pytest.mark.parametrize(
    "name",
    [
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-server",
        "x-envoy-expected-rq-timeout-ms",
    ],
)
async def test_whoever_comes_through_a_proxy_is_not_taken_for_somebody_on_this_machine(world, name):
    assert (await world.ask("GET", "/slices", token=None, headers={name: "198.51.100.7"})).status == 401
    assert (await world.ask("GET", "/slices", headers={name: "198.51.100.7"})).status == 200
