"""The document and the page of the HTTP port: made when a route has changed, validated, and sealed off."""

import json
import re

import pytest

from aether.model.artifact import ArtifactBase
from aether.model.rows import RouteRow
from aether.web.own_pages import OwnPages
from aether.web.request import Request

ROW = RouteRow(
    artifact=ArtifactBase("a", "b"),
    openapi=json.dumps(
        {
            "slice": "B",
            "about": "",
            "schemas": {},
            "paths": {"/b": {"get": {"operationId": "B.b", "tags": ["B"], "parameters": [], "responses": {}}}},
        }
    ),
)


def get(path, verb="GET", **headers):
    fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Request(verb=verb, path=path, headers=fields, request_id="r")


@pytest.fixture
def pages():
    return OwnPages(lambda: (1, [ROW]), "mine")


def test_other_paths_are_left_alone(pages):
    assert pages(get("/")) is None
    assert pages(get("/docs/")) is None
    assert pages(get("/openapi")) is None


def test_the_document_is_made_once_and_again_when_a_route_has_changed():
    rows, asked = [ROW], []

    def published():
        asked.append(1)
        return tuple(rows), tuple(rows)

    pages = OwnPages(published, "mine")
    first = pages(get("/openapi.json")).body
    assert pages(get("/openapi.json")).body is first
    rows.clear()
    second = json.loads(pages(get("/openapi.json")).body)

    assert list(json.loads(first)["paths"]) == ["/b"]
    assert second["paths"] == {}
    assert len(asked) == 3


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/page.js", "/docs/page.css"])
def test_a_client_that_has_it_is_not_sent_it_again(pages, path):
    answer = pages(get(path))
    again = pages(get(path, if_none_match=f'"other", W/{answer.headers["ETag"]}'))

    assert (answer.status, again.status, again.body) == (200, 304, b"")
    assert again.headers["ETag"] == answer.headers["ETag"]
    assert pages(get(path, if_none_match='"other"')).status == 200


def test_only_reading_is_answered(pages):
    assert pages(get("/docs", "POST")).status == 405
    assert pages(get("/docs", "OPTIONS")).status == 204
    assert pages(get("/docs", "HEAD")).status == 200


def test_the_page_needs_nothing_from_elsewhere(pages):
    """It works on a machine without the internet, and no stranger's script runs in it."""
    page = pages(get("/docs"))
    script = pages(get("/docs/page.js")).body.decode()
    text = page.body.decode() + script + pages(get("/docs/page.css")).body.decode()

    assert not re.findall(r"(?:https?:)?//(?![*\s])[\w.-]+\.\w+", text)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "innerHTML" not in script
    assert not re.search(r"<script(?![^>]*src=)", page.body.decode())
    assert not re.search(r"\son\w+=", page.body.decode())
    named = set(re.findall(r'(?:href|src)="(/[^"]+)"', page.body.decode()))
    assert all(pages(get(path)) is not None for path in named)


def test_the_page_is_for_light_and_dark_and_for_keyboards(pages):
    page, style = pages(get("/docs")).body.decode(), pages(get("/docs/page.css")).body.decode()

    assert "prefers-color-scheme: dark" in style
    assert ":focus-visible" in style
    assert 'class="skip"' in page
    assert 'aria-live="polite"' in page
    assert page.startswith('<!doctype html>\n<html lang="en">')
