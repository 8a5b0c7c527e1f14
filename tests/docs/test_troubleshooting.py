"""The runbook quotes messages that the program has."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations" / "troubleshooting.md").read_text()
SOURCE = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
FIRST_CELLS = [line.strip("| ").partition(" |")[0] for line in PAGE.splitlines() if line.startswith("| ")]
QUOTED = [text for cell in FIRST_CELLS for text in re.findall(r"`([^`]+ [^`]+)`", cell)]


def test_there_are_messages():
    assert len(QUOTED) >= 10


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_message_is_in_the_program(quoted):
    """Who looks for the words on the screen must find them here; "..." stands for what differs."""
    parts = [part.strip() for part in re.sub(r"\b503\b", "", quoted).split("...")]
    assert [part for part in parts if part not in SOURCE] == []
