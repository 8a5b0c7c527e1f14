"""Errors as problem details: status, members, and what a client may do next."""

from __future__ import annotations

import json

import pytest

from aether import errors
from aether.web.problem import fault_problem, problem, problem_of, wrong_verb

STATUS = [
    (errors.NotLeader("a", "b"), 503, "1"),
    (errors.NoQuorum(1, 2), 503, "1"),
    (errors.NoInstance("shop:pricing", "LOADING", "starting"), 503, "1"),
    (errors.Draining("a"), 503, "1"),
    (errors.SessionFull(1, 4096), 503, "1"),
    (errors.TryAgain("later"), 503, "1"),
    (errors.Overloaded("the queue", 256, 0.2), 429, "1"),
    (errors.Overloaded("the queue", 256, 7.1), 429, "8"),
    (errors.BadInput("bad", ("a: wrong", "b: wrong")), 400, None),
    (errors.ContractError("bad"), 400, None),
    (errors.Rejected("no"), 400, None),
    (errors.NotFound("route", "/x"), 404, None),
    (errors.NotInContract("Pricing", "quot", "did you mean quote?"), 404, None),
    (errors.Conflict("app", "changed"), 409, None),
    (errors.QuotaExceeded("orders", 10, "entries"), 409, None),
    (errors.OutcomeUnknown(), 504, None),
    (errors.SessionExpired(3), 504, None),
    (errors.CallFailed("KeyError", "'x'", "shop:pricing", "quote", "i1", "node-1", 1, "File secret.py"), 500, None),
    (errors.StorageFailed("/d", "EIO"), 500, None),
]


@pytest.mark.parametrize(("error", "status", "retry_after"), STATUS, ids=lambda v: type(v).__name__)
def test_each_error_of_the_tree_has_its_status_and_says_when_to_repeat(error, status, retry_after):
    """Sorted by what the caller should do next: only what certainly did not happen invites a repeat."""
    response = problem_of(error, "r-1")
    document = json.loads(response.body)
    assert (response.status, response.headers.get("Retry-After")) == (status, retry_after)
    assert response.content_type == "application/problem+json"
    assert document["status"] == status
    assert document["detail"] == document["error"]
    assert isinstance(error, errors.CallFailed) or document["detail"] == str(error)
    assert document["requestId"] == "r-1"
    assert document["type"].startswith("urn:aether:")


def test_facts_of_an_error_are_members():
    """A program reads the facts; the text is for people."""
    assert json.loads(problem_of(errors.NoQuorum(1, 2), "r").body)["wanted"] == 2
    assert json.loads(problem_of(errors.BadInput("bad", ("a", "b")), "r").body)["problems"] == ["a", "b"]


def test_what_a_foreign_exception_says_stays_in_the_log():
    """It may hold SQL, paths, values: a stranger gets its class, the slice, and the request id to ask with."""
    error = errors.CallFailed(
        "KeyError", "hidden", "shop:pricing", "quote", "i1", "node-1", remote_traceback="File secret.py"
    )
    response = problem_of(error, "r-7")
    assert b"secret.py" not in response.body
    assert b"hidden" not in response.body
    document = json.loads(response.body)
    assert document["detail"].startswith("KeyError in shop:pricing.quote; the log")
    assert "r-7" in document["detail"]
    assert (document["kind"], document["node"]) == ("KeyError", "node-1")


def test_a_fault_keeps_its_status_title_detail_and_fields():
    """It is part of the slice's contract: HTTP clients see what Python callers see."""
    response = fault_problem(
        name="OutOfStock", status=409, title="Out of stock", detail="no abc", fields={"sku": "abc"}, request_id="r"
    )
    document = json.loads(response.body)
    assert (response.status, document["title"], document["detail"]) == (409, "Out of stock", "no abc")
    assert (document["fault"], document["sku"], document["error"]) == ("OutOfStock", "abc", "no abc")


def test_members_never_replace_the_words_of_the_format():
    """A fault with a field named `status` or `error` must not change what every client relies on."""
    fields = {"status": 200, "error": None, "requestId": "x", "title": "t", "sku": "abc"}
    document = json.loads(fault_problem(name="F", status=422, title="", detail="d", fields=fields, request_id="r").body)
    assert (document["status"], document["error"], document["requestId"], document["title"]) == (422, "d", "r", "F")
    assert document["sku"] == "abc"
    assert document["fields"]["status"] == 200


@pytest.mark.parametrize("status", [200, 302, 99, 600, 0])
def test_a_fault_is_never_a_success(status):
    """A class attribute misspelt by its author must not look like an answer."""
    assert fault_problem(name="F", status=status, title="", detail="", fields={}, request_id="r").status == 500


def test_any_value_can_be_shown():
    """Telling of a failure must not fail."""
    members = {"a": float("nan"), "b": b"raw", "c": {1: {2, 3}}, "d": [float("inf"), None, True]}
    document = json.loads(problem(500, "d", "r", members=members).body)
    assert (document["a"], document["d"]) == ("nan", ["inf", None, True])


def test_options_is_answered_with_allow_and_another_verb_with_405():
    """Both tell the verbs; only one is a mistake."""
    allow = ("GET", "HEAD", "OPTIONS", "POST")
    assert (wrong_verb("OPTIONS", allow, "r").status, wrong_verb("OPTIONS", allow, "r").body) == (204, b"")
    refused = wrong_verb("BREW", allow, "r")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert json.loads(refused.body)["detail"] == "BREW is not answered here; use GET, POST"


def test_half_a_character_of_a_client_can_be_shown_to_it():
    """A problem quotes what was wrong; a lone surrogate in it ended the connection without an answer."""
    shown = problem(400, "\ud800 is unknown", "r-1", members={"problems": ["\udfff"]})
    assert json.loads(shown.body)["detail"] == "\ud800 is unknown"
    assert json.loads(shown.body)["problems"] == ["\udfff"]
