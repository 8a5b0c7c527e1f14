"""Rules that send single calls to one version of a slice, whatever the weights of its versions say.

Knows: how a rule is spelt: `header:NAME=VALUE`, `cookie:NAME=VALUE`, `key=VALUE`.
Never: calls; which version a rule is for.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from aether.errors import BadInput
from aether.model.limits import TRAFFIC_RULE_CHARS_MAX, TRAFFIC_RULES_MAX

_RULE: Final = re.compile(r"(?:(header|cookie):([!#$%&'*+.^_`|~0-9A-Za-z-]+)|(key))=(.+)", re.DOTALL)
_FORMS: Final = "write header:NAME=VALUE, cookie:NAME=VALUE, or key=VALUE for the value that decides the version"


class RuleKind(enum.StrEnum):
    """What of a call is looked at."""

    HEADER = "header"
    COOKIE = "cookie"
    KEY = "key"


@attrs.frozen(order=True)
class TrafficRule:
    """name  of the header, in lower case, or of the cookie; "" of a key. value  that it must have, exactly"""

    kind: RuleKind
    name: str
    value: str

    @property
    def field(self) -> str:
        """How the part of a request that it looks at is called on the way: `header:x-beta`; "" of a key."""
        return "" if self.kind is RuleKind.KEY else f"{self.kind}:{self.name}"


def parse_rule(text: str) -> TrafficRule:
    """Read one rule. Raises BadInput that shows it."""
    found = _RULE.fullmatch(text) if len(text) <= TRAFFIC_RULE_CHARS_MAX else None
    if found is None:
        raise BadInput(f"{text!r:.80} is no rule for traffic", (_FORMS,))
    kind, name, key, value = found.groups()
    if key:
        return TrafficRule(RuleKind.KEY, "", value)
    return TrafficRule(RuleKind(kind), name.lower() if kind == RuleKind.HEADER else name, value.strip())


def rule_problems(rules: Iterable[str]) -> Iterator[str]:
    """What is wrong with `rules`, each named; nothing for rules that can be used."""
    listed = tuple(rules)
    if len(listed) > TRAFFIC_RULES_MAX:
        yield f"{len(listed)} rules; at most {TRAFFIC_RULES_MAX} are looked at for each call"
    for text in listed:
        try:
            parse_rule(text)
        except BadInput as error:
            yield f"{error.what}: {_FORMS}"
