"""Versions and ranges, ordered as Semantic Versioning 2.0.0 section 11 says.

Knows: the grammar of a version, precedence, the ranges `1.2.3  ^1.2  ~1.2.3  >=1.0  [1.0,2.0)`.
Never: where versions come from.
Holds: a release sorts after its own pre-releases; build metadata does not take part in order.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

import attrs

from aether.errors import BadInput

_NUMBER = "(0|[1-9][0-9]{0,8})"
_PRE = "(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"  # a number has no leading zero (section 9)
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(?:-({_PRE}(?:\.{_PRE})*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_PARTIAL = re.compile(rf"{_NUMBER}(?:\.{_NUMBER})?(?:\.{_NUMBER})?")
_INTERVAL = re.compile(r"([\[(])\s*([^,\s]*)\s*,\s*([^,\s]*)\s*([\])])")


@functools.total_ordering
@attrs.frozen(eq=False)
class Version:
    """`major.minor.patch[-pre][+build]`."""

    major: int
    minor: int
    patch: int
    pre: str = ""
    build: str = ""

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a full version. Raises BadInput that shows `text` and the rule."""
        match = _VERSION.fullmatch(text)
        if match is None:
            raise BadInput(f"{text!r} is no version", ("write major.minor.patch, such as 1.2.0 or 1.2.0-rc.1",))
        major, minor, patch, pre, build = match.groups()
        return cls(int(major), int(minor), int(patch), pre or "", build or "")

    def __str__(self) -> str:
        pre = f"-{self.pre}" if self.pre else ""
        build = f"+{self.build}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{build}"

    def __eq__(self, other: object) -> bool:
        return self._order == other._order if isinstance(other, Version) else NotImplemented

    def __lt__(self, other: Version) -> bool:
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)

    @property
    def _order(self) -> tuple[object, ...]:
        # Numeric identifiers compare as numbers and sort before text; a missing pre-release sorts last.
        parts = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in self.pre.split(".")) if self.pre else ()
        return (self.major, self.minor, self.patch, not self.pre, parts)


@attrs.frozen
class VersionRange:
    """A set of versions: `low` and `high` bounds, each inclusive or not; None is open."""

    text: str
    low: Version | None = None
    low_inclusive: bool = True
    high: Version | None = None
    high_inclusive: bool = False

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Read `1.2.3`, `^1.2`, `~1.2.3`, `>1`, `>=1`, `<2`, `<=2`, `[1.0.0,2.0.0)` or `*`. Raises BadInput."""
        stripped = text.strip()
        if stripped == "*":
            return cls(text)
        interval = _INTERVAL.fullmatch(stripped)
        if interval is not None:
            return _interval(text, *interval.groups())
        for prefix in ("^", "~", ">=", "<=", ">", "<"):
            if stripped.startswith(prefix):
                return _prefixed(text, prefix, stripped.removeprefix(prefix).strip())
        exact = Version.parse(stripped)
        return cls(text, low=exact, high=exact, high_inclusive=True)

    def __contains__(self, version: Version) -> bool:
        above = self.low is None or version > self.low or (self.low_inclusive and version == self.low)
        below = self.high is None or version < self.high or (self.high_inclusive and version == self.high)
        return above and below and not self._before_an_excluded_end(version)

    def _before_an_excluded_end(self, version: Version) -> bool:
        """2.0.0-rc.1 sorts before 2.0.0 and breaks what 2.0.0 breaks: an open end at 2.0.0 excludes it too."""
        high = self.high
        if high is None or self.high_inclusive or high.pre or not version.pre:
            return False
        return (version.major, version.minor, version.patch) == (high.major, high.minor, high.patch)

    def newest(self, versions: Iterable[Version]) -> Version | None:
        """The highest of `versions` inside the range; releases are preferred to pre-releases."""
        inside = [v for v in versions if v in self]
        return max((v for v in inside if not v.pre), default=max(inside, default=None))

    def __str__(self) -> str:
        return self.text


def _bound(text: str) -> Version:
    match = _PARTIAL.fullmatch(text)
    if match is None:
        return Version.parse(text)
    major, minor, patch = (int(part or 0) for part in match.groups())
    return Version(major, minor, patch)


def _interval(text: str, left: str, low: str, high: str, right: str) -> VersionRange:
    return VersionRange(
        text,
        low=_bound(low) if low else None,
        low_inclusive=left == "[",
        high=_bound(high) if high else None,
        high_inclusive=right == "]",
    )


def _prefixed(text: str, prefix: str, rest: str) -> VersionRange:
    low = _bound(rest)
    if prefix == "^":
        return VersionRange(text, low=low, high=_caret_limit(low))
    if prefix == "~":
        return VersionRange(text, low=low, high=Version(low.major, low.minor + 1, 0))
    if prefix.startswith(">"):
        return VersionRange(text, low=low, low_inclusive=prefix == ">=")
    return VersionRange(text, high=low, high_inclusive=prefix == "<=")


def _caret_limit(low: Version) -> Version:
    if low.major:
        return Version(low.major + 1, 0, 0)
    return Version(0, low.minor + 1, 0) if low.minor else Version(0, 0, low.patch + 1)
