"""What a leader saw, as text that is decided about again elsewhere: one JSON object a line.

Knows: the lines, their versions, which part of a context repeats and is said once.
Never: files; who asks.
Holds: read(lines(evaluations)) has the same contexts, so that the same controller decides the same again.

The first line says what it is; each further one is an evaluation. A slice's window is told as the figures that are new,
its settings and its journal where they differ from the line before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import attrs

from aether.control.context import ControlContext, SliceView
from aether.control.decisions import Decision
from aether.control.evaluation import Evaluation
from aether.control.figures import SliceFigures, newest
from aether.control.settings import ControllerSettings
from aether.control.trending import LINE_WINDOWS
from aether.errors import BadInput
from aether.kv.codec import plain_codec
from aether.model.artifact import ArtifactBase
from aether.model.limits import CONTROL_RECORDED_MAX

KIND: Final = "aether controller recording"
VERSION: Final = 1
LINES_MAX: Final = CONTROL_RECORDED_MAX + 1

_context_plain, _context_read = plain_codec(ControlContext)
_decision_plain, _decision_read = plain_codec(Decision)
Plain = dict[str, Any]
_SAID_ONCE: Final = ("settings", "decisions")


@attrs.frozen(kw_only=True)
class Recorded:
    """One evaluation of a recording: what was seen, who decided what."""

    context: ControlContext
    decisions: tuple[Decision, ...]
    by: str


def needed_s(settings: ControllerSettings) -> float:
    """How long figures are kept for the decisions of one slice."""
    return max(settings.down_window_s, LINE_WINDOWS * settings.up_window_s)


# --- writing ---------------------------------------------------------------------------------------------------------


def lines(evaluations: Sequence[Evaluation], cluster: str = "") -> Iterator[str]:
    """`evaluations`, oldest first, as the lines of a recording."""
    yield _text({"kind": KIND, "version": VERSION, "cluster": cluster, "evaluations": len(evaluations)})
    before: dict[str, Plain] = {}
    seen: dict[ArtifactBase, float] = {}
    for each in evaluations:
        context = attrs.evolve(each.context, slices=tuple(_fresh(view, seen) for view in each.context.slices))
        plain = cast("Plain", _context_plain(context))
        for view in plain["slices"]:
            _say_once(view, before)
        yield _text(
            {"context": plain, "decided": [_decision_plain(decision) for decision in each.decisions], "by": each.by}
        )


def _fresh(view: SliceView, seen: dict[ArtifactBase, float]) -> SliceView:
    """With the figures alone that no line before has told."""
    since = seen.get(view.base, -1.0)
    fresh = tuple(figures for figures in view.window if figures.at > since)
    if view.window:
        seen[view.base] = view.window[-1].at
    return attrs.evolve(view, window=fresh)


def _say_once(view: Plain, before: dict[str, Plain]) -> None:
    known = before.setdefault(str(view["artifact"]), {})
    for name in _SAID_ONCE:
        if known.get(name) == view[name]:
            del view[name]
        else:
            known[name] = view[name]


def _text(plain: object) -> str:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


# --- reading ---------------------------------------------------------------------------------------------------------


def read(text: Iterable[str]) -> tuple[Recorded, ...]:
    """The evaluations of a recording. Raises BadInput with the number of the line that is wrong."""
    found: list[Recorded] = []
    before: dict[str, Plain] = {}
    windows: dict[ArtifactBase, tuple[SliceFigures, ...]] = {}
    for number, line in enumerate(text, 1):
        if number > LINES_MAX:
            raise BadInput(f"line {number}", (f"a recording has at most {CONTROL_RECORDED_MAX} evaluations",))
        plain = _object(line, number)
        if number == 1:
            _check_head(plain)
            continue
        try:
            found.append(_recorded(plain, before, windows))
        except (BadInput, KeyError, TypeError, ValueError) as error:
            raise BadInput(f"line {number} is no evaluation", (f"{type(error).__name__}: {error}"[:500],)) from error
    if not found:
        raise BadInput("the recording is empty", ("record while a slice has a range, and this node's leader looks",))
    return tuple(found)


def _object(line: str, number: int) -> Plain:
    try:
        plain: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"line {number} is no JSON", (str(error),)) from error
    if not isinstance(plain, dict):
        raise BadInput(f"line {number} is no JSON object")
    return cast("Plain", plain)


def _check_head(plain: Mapping[str, object]) -> None:
    if plain.get("kind") != KIND:
        raise BadInput("this is no recording of a controller", ("make one with `aether controller record FILE`",))
    if plain.get("version") != VERSION:
        raise BadInput(f"a recording of version {plain.get('version')!r:.20}", (f"this program reads {VERSION}",))


def _recorded(
    plain: Plain, before: dict[str, Plain], windows: dict[ArtifactBase, tuple[SliceFigures, ...]]
) -> Recorded:
    views = cast("list[Plain]", plain["context"]["slices"])
    for view in views:
        known = before.setdefault(str(view["artifact"]), {})
        for name in _SAID_ONCE:
            if name in view:
                known[name] = view[name]
            elif name in known:
                view[name] = known[name]
    context = _context_read(plain["context"])
    slices = tuple(_whole(view, context.now, windows) for view in context.slices)
    decided = tuple(_decision_read(each) for each in cast("list[object]", plain["decided"]))
    return Recorded(context=attrs.evolve(context, slices=slices), decisions=decided, by=str(plain["by"]))


def _whole(view: SliceView, now: float, windows: dict[ArtifactBase, tuple[SliceFigures, ...]]) -> SliceView:
    """With its whole window again."""
    view.settings.check()
    window = newest((*windows.get(view.base, ()), *view.window), now, needed_s(view.settings))
    windows[view.base] = window
    return attrs.evolve(view, window=window)
