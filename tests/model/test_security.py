"""Which rule holds for a route, and whom it lets pass."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.model.security import (
    AUTHENTICATED,
    DENY,
    PUBLIC,
    UNKNOWN,
    Credentials,
    Principal,
    is_role,
    is_rule,
    rule_at,
    rule_of,
    satisfies,
)

RULES = {
    "* /*": "authenticated",
    "GET /catalogue/*": "public",
    "* /catalogue/secret": "deny",
    "POST /orders": "role:clerk",
    "* /orders/*": "role:reader",
    "GET /orders/{id}": "role:owner",
    "* /orders/{id}": "role:other",
    "* /ord*": "role:prefix",
}


@pytest.mark.parametrize(
    ("verb", "template", "rule"),
    [
        ("GET", "/anything", "authenticated"),
        ("GET", "/", "authenticated"),
        ("GET", "/catalogue", "public"),
        ("GET", "/catalogue/tea", "public"),
        ("POST", "/catalogue/tea", "authenticated"),
        ("GET", "/catalogue/secret", "deny"),
        ("GET", "/catalogues", "authenticated"),
        ("POST", "/orders", "role:clerk"),
        ("GET", "/orders", "role:reader"),
        ("GET", "/orders/{order}", "role:owner"),
        ("PUT", "/orders/{order}", "role:other"),
        ("PUT", "/orders/{order}/lines", "role:reader"),
        ("GET", "/ordinary", "role:prefix"),
    ],
)
def test_the_rule_that_says_most_counts(verb, template, rule):
    """Whatever the order in the file: TOML tables have none."""
    assert rule_of(RULES, verb, template) == rule
    assert rule_of(dict(reversed(RULES.items())), verb, template) == rule


def test_without_a_rule_a_route_is_public():
    assert rule_of({}, "GET", "/a") == PUBLIC
    assert rule_of({"GET /b": "deny"}, "GET", "/a") == PUBLIC


paths = st.lists(st.sampled_from(["a", "b", "{x}", "{y}"]), min_size=1, max_size=3).map(lambda p: "/" + "/".join(p))
verbs = st.sampled_from(["GET", "POST"])


@given(verbs, paths, st.dictionaries(st.tuples(verbs, paths).map(" ".join), st.sampled_from([PUBLIC, "role:x"])))
def test_a_rule_for_everything_leaves_no_route_open_by_mistake(verb, path, rules):
    """What nobody opened by a rule of its own is closed."""
    rule = rule_of({"* /*": DENY, **rules}, verb, path)

    assert rule == DENY or rule in rules.values()


@pytest.mark.parametrize(
    ("rule", "roles", "passes"),
    [
        (PUBLIC, (), True),
        (AUTHENTICATED, (), True),
        (DENY, ("deny", "admin"), False),
        (UNKNOWN, ("",), False),
        ("role:clerk", ("clerk",), True),
        ("role:clerk", ("reader", "clerk"), True),
        ("role:clerk", ("Clerk", "clerks", "role:clerk"), False),
        ("role:", ("",), True),
        ("nonsense", ("nonsense",), False),
    ],
)
def test_whom_a_rule_lets_pass(rule, roles, passes):
    assert satisfies(Principal(name="ann", roles=roles), rule) is passes


def test_rules_and_roles_have_one_spelling():
    assert all(map(is_rule, ["public", "authenticated", "deny", "role:a", "role:clerk-2_x"]))
    assert not any(map(is_rule, ["", "role:", "role:A", "role:a b", "Public", "role", "role:" + "a" * 64]))
    assert is_role("a" * 63)


@pytest.mark.parametrize(
    ("value", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", None), ("Bearer ", None), ("", None)],
)
def test_the_token_of_credentials(value, token):
    assert Credentials(verb="GET", path="/", route="/", rule=PUBLIC, headers={"authorization": value}).bearer == token


def test_credentials_do_not_show_themselves():
    """A verifier that logs what it was given must not log what it was for."""
    shown = repr(
        Credentials(
            verb="GET", path="/", route="/", rule=PUBLIC, headers={"authorization": "canary"}, cookies={"s": "canary"}
        )
    )
    assert "canary" not in shown


MOUNTED = {
    "* /shop/*": "authenticated",
    "* /shop/admin/*": "role:boss",
    "GET /shop/goods/*": "public",
    "GET /shop/goods/{id}/cost": "role:clerk",
    "POST /shop/pay": "role:clerk",
}


@pytest.mark.parametrize(
    ("verb", "path", "rule"),
    [
        ("GET", "/shop/", "authenticated"),
        ("GET", "/shop/admin", "role:boss"),
        ("GET", "/shop/admin/users", "role:boss"),
        ("GET", "/shop/%61dmin/users", "role:boss"),
        ("GET", "/shop/goods/7", "public"),
        ("POST", "/shop/goods/7", "authenticated"),
        ("GET", "/shop/goods/7/cost", "role:clerk"),
        ("POST", "/shop/pay", "role:clerk"),
        ("POST", "/shop/pay/", DENY),
        ("GET", "/shop//admin/users", DENY),
        ("GET", "/shop/goods/../admin/users", DENY),
        ("GET", "/shop/goods/%2e%2e/admin/users", DENY),
        ("GET", "/shop/goods/..%2fadmin/users", DENY),
        ("GET", "/shop/goods/..%5Cadmin/users", DENY),
        ("GET", "/shop/x/../y", "authenticated"),
    ],
)
def test_what_is_mounted_is_asked_for_by_its_own_paths(verb, path, rule):
    """However a path is spelt, whoever is behind it reads it in no more open a way than the rules do."""
    assert rule_at(MOUNTED, verb, "/shop/{rest:path}", path) == rule
    assert rule_at(dict(reversed(MOUNTED.items())), verb, "/shop/{rest:path}", path) == rule


PIECES = st.lists(st.text(st.sampled_from("ab% ~ü/{"), min_size=1, max_size=4), min_size=1, max_size=3)


def spelt(pieces: list[str], every: bool) -> str:
    """The path of these segments, with as much or as little as possible written as `%` and its number."""
    if every:
        return "".join("/" + "".join(f"%{byte:02x}" for byte in piece.encode()) for piece in pieces)
    return "".join("/" + quote(piece, safe="") for piece in pieces)


@given(PIECES, st.booleans(), st.booleans(), st.sampled_from(["", "/*"]))
def test_a_rule_holds_however_its_characters_are_spelt(pieces, one, other, below):
    """A router reads `%61dmin` as `admin`; a rule that did not would leave the route open."""
    rules = {f"GET {spelt(pieces, one)}{below}": DENY}
    assert rule_of(rules, "GET", spelt(pieces, other)) == DENY
    assert rule_at(rules, "GET", "/{rest:path}", spelt(pieces, other)) == DENY


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/shop/50%25off/x", DENY),
        ("/shop/50%25/x", PUBLIC),
        ("/shop/admin", "role:boss"),
        ("/shop/%61dmin", "role:boss"),
        ("/shop/%2561dmin", DENY),
        ("/shop/100%25", PUBLIC),
    ],
)
def test_a_path_with_a_percent_sign_has_one_rule(path, rule):
    """What a program may decode a second time is closed where that would change its rule."""
    rules = {"* /shop/50%25off/*": DENY, "* /shop/admin": "role:boss"}
    assert rule_at(rules, "GET", "/shop/{rest:path}", path) == rule
