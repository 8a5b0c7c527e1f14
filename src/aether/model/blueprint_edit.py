"""Another version in the text of a blueprint, and nothing else.

Knows: where TOML allows a string, and how strings are quoted.
Never: which versions exist; when a text is changed.
Holds: comments, order and layout stay; read as data, the two texts differ in one value.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.version import Version, VersionRange

_STRINGS: Final = (  # each tried at every quote: what looks like one in a comment is found out by reading the result
    re.compile(r'"""(?:[^\\"]|\\.|"{1,2}(?!"))*"""', re.DOTALL),
    re.compile(r"'''(?:[^']|'{1,2}(?!'))*'''", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_TRIES_MAX: Final = 64


def with_version(text: str, base: ArtifactBase, version: Version) -> str:
    """`text` with `version` for the slice `base`: the text itself when it allows that version already, or does not
    name the slice (a dependency that was found from the contracts).

    text  of a valid blueprint
    Raises BadInput when the place cannot be changed without changing anything else.
    """
    top = _loaded(text)
    written = _artifact_of(top, base)
    if written is None or version in VersionRange.parse(written.removeprefix(f"{base}:")):
        return text
    wanted = _replaced(top, written, str(base.at(version)))
    for tries, (start, end) in enumerate(_places(text, written)):
        if tries == _TRIES_MAX:
            break
        changed = f'{text[:start]}"{base.at(version)}"{text[end:]}'
        if _read(changed) == wanted:
            return changed
    raise BadInput(
        f"the version of {base} cannot be changed to {version} in the text",
        (f'write artifact = "{base.at(version)}" by hand, as one plain string',),
    )


def _entries(top: Mapping[str, Any]) -> list[dict[str, Any]]:
    slices = top.get("slices", [])
    found = list(cast("dict[str, object]", slices).values()) if isinstance(slices, dict) else slices
    return [cast("dict[str, Any]", entry) for entry in found if isinstance(entry, dict)]


def _artifact_of(top: Mapping[str, Any], base: ArtifactBase) -> str | None:
    texts = (str(entry.get("artifact", "")) for entry in _entries(top))
    return next((text for text in texts if text.startswith(f"{base}:")), None)


def _replaced(top: dict[str, Any], written: str, wanted: str) -> dict[str, Any]:
    """The same data with another artifact. Changes `top`."""
    for entry in _entries(top):
        if entry.get("artifact") == written:
            entry["artifact"] = wanted
    return top


def _places(text: str, written: str) -> Iterator[tuple[int, int]]:
    """Where a string that says `written` may stand."""
    for quote in re.finditer("[\"']", text):
        for pattern in _STRINGS:
            found = pattern.match(text, quote.start())
            if found is None or len(found[0]) > 12 * len(written) + 8:  # even spelt in escapes of ten characters each
                continue
            if _read(f"x = {found[0]}") == {"x": written}:
                yield found.span()


def _loaded(text: str) -> dict[str, Any]:
    """Each number with a point as it is written: `nan` would differ from itself."""
    return tomllib.loads(text, parse_float=lambda number: ("float", number))


def _read(text: str) -> object:
    try:
        return _loaded(text)
    except ValueError:
        return None
