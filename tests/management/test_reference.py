"""The reference page and the table name the same paths, queries and fields."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aether.management.openapi import PROBES
from aether.management.table import ENDPOINTS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "management-api.md").read_text()


def test_every_path_has_a_heading_and_every_heading_a_path():
    """A path nobody can find is not there; a documented one that is missing is a broken promise."""
    headings = set(re.findall(r"^### (\w+ \S+)$", PAGE, re.MULTILINE))
    assert headings == {f"{e.verbs[0]} {e.path}" for e in ENDPOINTS} | {f"GET {path}" for path in PROBES}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: e.path)
def test_every_field_and_query_is_named(endpoint):
    """Unknown names are refused, so the known ones must be written down."""
    for field in (*endpoint.query.fields, *endpoint.body.fields):
        assert re.search(rf"[`?]{field.name}\b", PAGE), field.name
