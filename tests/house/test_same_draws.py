"""A run of the tests is had again by its seed: what they draw, and the turns in which trio runs their tasks."""

import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TEST = """
import random
import trio

async def test_turns(autojump_clock):
    turns = []
    async def take(number):
        for _ in range(4):
            await trio.sleep(1)
            turns.append(number)
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(take, number)
    print("turns", turns, random.random())
"""


def turns(folder, *options):
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-o", "trio_mode=true", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return [line for line in done.stdout.splitlines() if line.startswith("turns")]


def test_a_seed_brings_back_the_turns_of_tasks_and_what_was_drawn(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text("utf-8"), "utf-8")
    (tmp_path / "test_turns.py").write_text(TEST, "utf-8")
    first = turns(tmp_path, "--randomly-seed=7")
    assert len(first) == 1
    assert turns(tmp_path, "--randomly-seed=7") == first
    assert turns(tmp_path, "--randomly-seed=8") != first
    assert turns(tmp_path, "-p", "no:randomly")  # without that plugin nothing is seeded, and nothing fails
