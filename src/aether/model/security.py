"""What a route asks of whoever uses it, and who that is.

Knows: rules and their spelling; which of several rules holds for a route.
Never: requests, tokens, how anybody proves who it is.
Holds: of the rules that fit a route the one that says most about it counts, whatever their order; a route that none
       fits is public.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import quote, unquote

import attrs

PUBLIC: Final = "public"
AUTHENTICATED: Final = "authenticated"
DENY: Final = "deny"
UNKNOWN: Final = ""
"""Of a route whose slice is wanted no more, on a node that never heard what was asked of it."""
ROLE: Final = "role:"
_VARIABLE: Final = re.compile(r"\{[^}]*\}")
_PLAIN: Final = "!$&'()*+,;=:@"
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@attrs.frozen(kw_only=True)
class Principal:
    """Who uses a route, as its token or the verifier of the application says.

    name    of a person, or of a program
    roles   what `role:x` rules ask for
    claims  what else the verifier wants slices to know, as text
    """

    name: str
    roles: tuple[str, ...] = ()
    claims: Mapping[str, str] = attrs.field(factory=dict[str, str])


@attrs.frozen(kw_only=True)
class Credentials:
    """What a request to a route that is not public brings, for whoever verifies it. Its repr shows no secret.

    verb, path  as sent; route  as the slice spells it; rule  that holds for it
    headers     by name in lower case, repeated ones joined; cookies  by name
    client      address of the peer
    """

    verb: str
    path: str
    route: str
    rule: str
    client: str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    cookies: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)

    @property
    def bearer(self) -> str | None:
        """The token behind `Authorization: Bearer`; None when there is none."""
        scheme, _, text = self.headers.get("authorization", "").partition(" ")
        return text.strip() or None if scheme.lower() == "bearer" else None


Verify = Callable[[Credentials], Awaitable["Principal | None"]]
"""Who brings these credentials; None: nobody that is known."""


def satisfies(principal: Principal, rule: str) -> bool:
    """Whether `rule` lets `principal` pass."""
    if rule in (PUBLIC, AUTHENTICATED):
        return True
    return rule.startswith(ROLE) and rule.removeprefix(ROLE) in principal.roles


def is_role(text: str) -> bool:
    """Whether `text` may name a role of an application: a-z, 0-9, `_`, `-`; at most 63 characters."""
    return _NAME.fullmatch(text) is not None


def is_rule(text: str) -> bool:
    """Whether `text` is public, authenticated, deny or role:NAME."""
    return text in (PUBLIC, AUTHENTICATED, DENY) or (text.startswith(ROLE) and is_role(text.removeprefix(ROLE)))


def rule_of(rules: Mapping[str, str], verb: str, template: str) -> str:
    """The rule for the route `verb template`, PUBLIC when none fits.

    A rule is for `VERB /path` as the slice spells it (whatever its variables are called, and whether or not a character
    is written as `%` and its number); with a trailing `*` it is for
    everything below, the path itself included; `*` is any verb. A longer path says more than a shorter one, a whole one
    more than one with `*`, a verb more than `*`.
    """
    bare = _bare(template)
    fitting = [(_weight(route), rule) for route, rule in rules.items() if _fits(route, verb, bare)]
    return max(fitting)[1] if fitting else PUBLIC


def rule_at(rules: Mapping[str, str], verb: str, template: str, path: str) -> str:
    """The rule for the raw `path`, which a route that takes all below it, such as `/shop/{rest:path}`, answers.

    Rules count that fit the route, and those that fit the path: what is mounted there has routes of its own, which the
    cluster does not know. A path that could be read in two ways, such as `/a//b`, `/a/../b`, `/a/` or `/%2561`, is
    closed where that would change its rule.
    """
    read = unquote(path)
    found = {_rule_at(rules, verb, _bare(template), each) for each in (read, _plain(read), _plain(unquote(read)))}
    return found.pop() if len(found) == 1 else DENY


def takes_all(template: str) -> bool:
    """Whether the last part of `template` is a rest of the path."""
    return template.endswith(":path}")


def _rule_at(rules: Mapping[str, str], verb: str, template: str, path: str) -> str:
    fitting = [
        (_weight(route), rule)
        for route, rule in rules.items()
        if _fits(route, verb, template) or _covers(route, verb, path)
    ]
    return max(fitting)[1] if fitting else PUBLIC


def _covers(route: str, verb: str, path: str) -> bool:
    """As _fits, of a path in which variables have their values."""
    wanted, _, spelt = route.partition(" ")
    if wanted not in ("*", verb):
        return False
    pattern = "[^/]+".join(re.escape(unquote(text)) for text in _bare(spelt.removesuffix("*")).split("{}"))
    if spelt.endswith("*"):
        return re.match(pattern, f"{path}/") is not None
    return re.fullmatch(pattern, path) is not None


def _plain(path: str) -> str:
    """`path` without what programs read in several ways: empty segments, `.`, `..`, a slash at the end."""
    kept: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return f"/{'/'.join(kept)}"


def _fits(route: str, verb: str, template: str) -> bool:
    wanted, _, path = route.partition(" ")
    if wanted not in ("*", verb):
        return False
    return f"{template}/".startswith(_bare(path[:-1])) if path.endswith("*") else _bare(path) == template


def _bare(template: str) -> str:
    """`template` without the names of its variables, its other segments in one spelling."""
    bare = _VARIABLE.sub("{}", template)
    return "/".join(s if s == "{}" else _spelt(s) for s in bare.split("/")) if "%" in bare else bare


def _spelt(segment: str) -> str:
    return quote(unquote(segment), safe=_PLAIN)


def _weight(route: str) -> tuple[int, bool, bool]:
    verb, _, path = route.partition(" ")
    return len(_bare(path.removesuffix("*").removesuffix("/"))), not path.endswith("*"), verb != "*"
