"""What each refusal of a node ends a command with, and what it tells the user to do."""

import pytest

from aether.cli.exits import STATUS_EXITS, Exit, exit_of
from aether.cli.main import run


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "bad-input", 1), (401, "no-token", 4), (403, "forbidden", 4), (404, "not-found", 1), (405, "", 1),
        (408, "", 5),
        (409, "conflict", 4), (409, "taken-back", 1), (412, "", 4), (413, "", 1), (415, "", 1),
        (422, "", 1), (429, "", 4),
        (500, "", 1), (501, "", 1), (503, "", 1), (503, "draining", 1), (503, "no-quorum", 4), (504, "", 5),
    ],
)  # fmt: skip
def test_a_status_ends_a_command_with_its_code(port, capsys, status, kind, code):
    """Scripts branch on the code: 4 means that asking again as it stands is no use yet, 5 that it may have happened."""
    body = {"type": f"urn:aether:{kind}", "detail": "because"}
    port.answers["/status"] = (status, body)

    assert run(["status", "-c", port.address]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "because" in printed.err


@pytest.mark.parametrize("status", sorted(STATUS_EXITS))
def test_no_status_ends_as_success_usage_or_no_connection(status):
    """Those are said by the command line itself, never by a node."""
    assert exit_of(status) not in (Exit.OK, Exit.USAGE, Exit.CANNOT_CONNECT)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, {"type": "urn:aether:no-token"}, "--token"),
        (503, {"type": "urn:aether:no-quorum"}, "aether health"),
        (503, {"type": "urn:aether:draining", "retryAfterS": 2.5}, "2.5 s"),
        (429, {}, "try again"),
        (412, {}, "look at it again"),
        (404, {"kind": "route"}, "management port"),
    ],
)
def test_a_refusal_says_what_to_do_next(port, capsys, status, body, says):
    port.answers["/status"] = (status, {"detail": "no", **body})
    run(["status", "-c", port.address])
    assert says in capsys.readouterr().err.splitlines()[-1]
