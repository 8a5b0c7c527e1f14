"""The router as tables: which template answers a path."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.web.router import HttpRouter, Match, Missing, WrongVerb, parse_template

ROUTES = [
    ("GET", "/", "root"),
    ("GET", "/orders", "list"),
    ("POST", "/orders", "place"),
    ("GET", "/orders/{order_id}", "get"),
    ("DELETE", "/orders/{order_id}", "cancel"),
    ("GET", "/orders/latest", "latest"),
    ("GET", "/orders/{order_id}/lines/{line}", "line"),
    ("GET", "/orders/latest/lines", "latest lines"),
    ("GET", "/{section}/about", "about"),
    ("PUT", "/käse/{name}", "cheese"),
]

MATCHES = [
    ("GET", "/", "root", {}),
    ("GET", "/orders", "list", {}),
    ("POST", "/orders", "place", {}),
    ("GET", "/orders/17", "get", {"order_id": "17"}),
    ("GET", "/orders/latest", "latest", {}),  # a literal wins over a variable
    ("DELETE", "/orders/latest", "cancel", {"order_id": "latest"}),  # unless only the variable has the verb
    ("GET", "/orders/latest/lines/3", "line", {"order_id": "latest", "line": "3"}),  # the literal branch is a dead end
    ("GET", "/orders/latest/lines", "latest lines", {}),
    ("GET", "/orders/about", "get", {"order_id": "about"}),  # the leftmost literal decides
    ("GET", "/help/about", "about", {"section": "help"}),
    ("HEAD", "/orders/17", "get", {"order_id": "17"}),
    ("GET", "/orders/a%20b", "get", {"order_id": "a b"}),
    ("GET", "/orders/a%2Fb", "get", {"order_id": "a/b"}),  # an escaped slash does not separate
    ("GET", "/orders/a+b", "get", {"order_id": "a+b"}),  # a plus is a space only in queries
    ("GET", "/orders/%C3%A4", "get", {"order_id": "ä"}),
    ("GET", "/%6Frders", "list", {}),
    ("PUT", "/k%C3%A4se/b", "cheese", {"name": "b"}),
    ("GET", "/orders/..", "get", {"order_id": ".."}),  # dots mean nothing here: no file is behind a path
]

MISSES = [
    "/nothing",
    "/orders/",
    "//orders",
    "/orders//lines/3",
    "/orders/1/lines",
    "/Orders",
    "orders",
    "",
    "/orders/1/",
]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("verb", "path", "target", "variables"), MATCHES)
def test_the_most_specific_route_with_the_verb_answers(verb, path, target, variables, reverse):
    """Which route wins must not depend on the order in which slices were deployed."""
    found = HttpRouter(reversed(ROUTES) if reverse else ROUTES).match(verb, path)
    assert isinstance(found, Match)
    assert (found.target, found.variables) == (target, variables)


@pytest.mark.parametrize("path", MISSES)
def test_a_path_of_no_template_is_missing(path):
    """No trailing-slash guessing: two spellings of one resource defeat caches and access rules."""
    assert HttpRouter(ROUTES).match("GET", path) == Missing()


@pytest.mark.parametrize(
    ("verb", "path", "allow"),
    [
        ("PUT", "/orders", ("GET", "HEAD", "OPTIONS", "POST")),
        ("POST", "/orders/latest", ("DELETE", "GET", "HEAD", "OPTIONS")),  # of every template that fits
        ("OPTIONS", "/käse/x", ("OPTIONS", "PUT")),
        ("HEAD", "/käse/x", ("OPTIONS", "PUT")),
        ("BREW", "/", ("GET", "HEAD", "OPTIONS")),
    ],
)
def test_a_known_path_under_another_verb_says_which_verbs_it_has(verb, path, allow):
    """405 with Allow tells a client its mistake; 404 would send it looking for another path."""
    assert HttpRouter(ROUTES).match(verb, path) == WrongVerb(allow)


@pytest.mark.parametrize("path", ["/orders/%ff", "/orders/%C3", "/%80"])
def test_a_path_that_is_no_utf_8_is_bad_input(path):
    """Replacement characters would make two different paths one."""
    with pytest.raises(BadInput, match="percent-encoded UTF-8"):
        HttpRouter(ROUTES).match("GET", path)


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("orders", "begin a path template with /"),
        ("/orders/{id}.json", "a variable is a whole segment"),
        ("/orders/{}", "a variable is a whole segment"),
        ("/orders/{a b}", "a variable is a whole segment"),
        ("/orders/id}", "a variable is a whole segment"),
        ("/{id}/{id}", "a variable may appear once"),
        ("/orders?x=1", "no query"),
    ],
)
def test_a_malformed_template_is_refused_with_the_rule(template, hint):
    """At registration, not at the first request."""
    with pytest.raises(BadInput, match=re.escape(hint)):
        HttpRouter([("GET", template, 1)])


def test_routes_that_answer_the_same_paths_are_reported_and_the_first_kept():
    """Two slices may claim one path; the table stays usable and says whom it refused."""
    router = HttpRouter([("GET", "/a/{x}", "first"), ("GET", "/a/{y}", "second"), ("POST", "/a/{y}", "third")])
    assert [str(conflict) for conflict in router.conflicts] == [
        "GET /a/{y} answers the same paths as /a/{x}; change one of the two templates"
    ]
    assert router.match("GET", "/a/1") == Match("first", {"x": "1"}, "/a/{x}")
    assert router.match("POST", "/a/1") == Match("third", {"y": "1"}, "/a/{y}")


segments = st.lists(st.sampled_from(["a", "b", "{x}", "{y}", "{z}"]), min_size=1, max_size=4, unique=True)


@given(st.lists(segments, max_size=12), st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4))
def test_the_tree_agrees_with_trying_every_template(templates, path):
    """The oracle: of all templates that fit, the one whose segments are literal earliest."""
    texts = sorted({"/" + "/".join(template) for template in templates})
    router = HttpRouter(("GET", text, text) for text in texts)
    kept = [text for text in texts if text not in {conflict.refused for conflict in router.conflicts}]

    def fits(text: str) -> bool:
        parts = text[1:].split("/")
        return len(parts) == len(path) and all(t.startswith("{") or t == p for t, p in zip(parts, path, strict=True))

    best = min((t for t in kept if fits(t)), key=lambda t: [s.startswith("{") for s in t[1:].split("/")], default=None)
    found = router.match("GET", "/" + "/".join(path))
    assert (found.target if isinstance(found, Match) else None) == best


def test_matching_stays_fast_when_every_segment_branches():
    """A path chosen to make the search turn back everywhere costs at most the size of the tree."""
    depth = 12
    shapes = [[("a" if (n >> bit) & 1 else f"{{v{bit}}}") for bit in range(depth)] for n in range(2**9)]
    router = HttpRouter(("GET", "/" + "/".join(shape), n) for n, shape in enumerate(shapes))
    assert isinstance(router.match("GET", "/" + "/".join(["a"] * depth)), Match)
    assert isinstance(router.match("GET", "/" + "/".join(["a"] * (depth - 1) + [""])), Missing)


def test_the_rest_of_a_path_is_one_variable_and_gives_way_to_everything_else():
    """Mounted applications and folders of files take what no other route wants."""
    table = HttpRouter(
        [
            ("GET", "/assets/{rest:path}", "files"),
            ("GET", "/assets/{name}", "one"),
            ("GET", "/assets/logo", "logo"),
            ("POST", "/assets/{name}/x", "post"),
        ]
    )
    assert table.conflicts == ()
    found = {path: table.match("GET", path) for path in ("/assets/logo", "/assets/a", "/assets/a/b%2Fc", "/assets/")}
    assert [match.target for match in found.values()] == ["logo", "one", "files", "files"]
    assert found["/assets/a/b%2Fc"].variables == {"rest": "a/b/c"}
    assert found["/assets/"].variables == {"rest": ""}
    assert table.match("GET", "/assets/a/x").target == "files", "another verb's route hides nothing"
    assert table.match("GET", "/assets") == Missing()
    assert HttpRouter([("GET", "/{a:path}", 1), ("GET", "/{b:path}", 2)]).conflicts


def test_the_rest_of_a_path_stands_last():
    with pytest.raises(BadInput, match="last segment"):
        parse_template("/{rest:path}/x")
