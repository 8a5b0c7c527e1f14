"""The page of the HTTP server names its limits and its statuses, all of them and nothing else."""

import re
from pathlib import Path

import attrs

from aether.web.config import WebConfig
from aether.web.problem import TITLES

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "http-server.md").read_text()


def rows(heading):
    section = PAGE.partition(f"## {heading}")[2].partition("\n## ")[0]
    return [line.split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]


def spelt(value):
    if isinstance(value, int) and value >= 2**10 and not value % 2**10 and value != 1_024:
        power = 3 if value >= 2**30 else 2 if value >= 2**20 else 1
        return f"{value // 2 ** (10 * power)} {('KiB', 'MiB', 'GiB')[power - 1]}"
    return f"{value:,}" if isinstance(value, int) else f"{value:g} s"


def test_every_limit_is_on_the_page_with_its_default():
    shown = {}
    for names, defaults, *_ in rows("Limits"):
        values = re.split(r", (?=\d)", defaults)
        shown |= dict(zip(re.findall(r"`(\w+)`", names), values, strict=True))
    wanted = {
        field.name: spelt(field.default)
        for field in attrs.fields(WebConfig)
        if field.name not in {"bind", "port", "option"}
    }
    assert {name: value.removesuffix(" bytes/s") for name, value in shown.items()} == wanted


def test_every_status_of_the_page_is_one_that_the_server_can_spell():
    statuses = [int(row[0].strip("| ")) for row in rows("Statuses that the server gives by itself")]
    assert statuses == sorted(set(statuses))
    assert set(statuses) <= set(TITLES)
    corpus = Path(__file__).parents[1] / "web" / "corpus"
    tried = {
        int(code) for path in corpus.glob("*.txt") for code in re.findall(r"^--- .* (\d{3})$", path.read_text(), re.M)
    }
    assert tried <= set(statuses)
    assert set(statuses) - tried == {408, 503}  # not a matter of bytes: test_hostile.py
