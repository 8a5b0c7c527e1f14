"""The list of failpoints and the places in the program are the same."""

from __future__ import annotations

import re
from pathlib import Path

from aether.consensus.spelling import MESSAGES as CONSENSUS
from aether.failpoints import PLACES
from aether.kv.messages import MESSAGES as KV

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "aether"


def reached():
    """Every name that the program reaches."""
    texts = [path.read_text() for path in SRC.rglob("*.py")]
    return {name for text in texts for name in re.findall(r'reach\("([A-Za-z_.]+)"\)', text)}


def test_every_place_is_in_the_list_and_every_name_in_the_program():
    """A name that nothing reaches would make tests pass for the wrong reason."""
    messages = {name for name in PLACES if name.startswith("send.")}
    assert reached() == set(PLACES) - messages


def test_the_messages_that_can_be_stopped_are_messages():
    """Named by their classes."""
    names = {cls.__name__ for cls, _, _ in (*CONSENSUS.values(), *KV.values())}
    assert {name.removeprefix("send.") for name in PLACES if name.startswith("send.")} == names


def test_there_are_enough_and_the_page_lists_them():
    """Whoever hunts a bug looks there for a place near it."""
    page = (ROOT / "docs" / "design" / "nemesis.md").read_text()
    assert len(PLACES) >= 30
    rows = re.findall(r"^\| `([a-z]+\.[A-Za-z_]+)` \| (.+) \|$", page, re.MULTILINE)
    assert dict(rows) == PLACES
