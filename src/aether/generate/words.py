"""Pieces that several targets share: settings as TOML, certificates as commands of the shell.

Knows: the keys of aether.toml, the words of `aether ca`.
Never: where the files of a target lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aether.generate.setup import MADE

Toml = str | int | float | bool | Sequence[str]


def made(target: str) -> str:
    return f"# {MADE.format(target=target)}\n"


def toml_text(sections: Mapping[str, Mapping[str, Toml]]) -> str:
    """Sections of aether.toml; what is empty is left out."""
    parts = [
        f"[{section}]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in keys.items())
        for section, keys in sections.items()
        if keys
    ]
    return "\n".join(parts)


def _value(value: Toml) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(_quoted(each) for each in value) + "]"
    return f"{value:g}"


def _quoted(text: str) -> str:
    """As a basic string; what is written here has passed `Setup.check`, so it holds neither quotes nor line ends."""
    assert not set('"\\\n') & set(text), text
    return f'"{text}"'


def readme(title: str, target: str, steps: Sequence[str], more: str = "") -> str:
    """What stands beside the files: the next steps, numbered."""
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    return f"# {title}\n\n{MADE.format(target=target)}\n\n{numbered}\n" + (f"\n{more}\n" if more else "")
