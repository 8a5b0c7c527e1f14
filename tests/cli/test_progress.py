"""What a waiting command shows: how far it is, on the standard error alone."""

import json
import threading

import pytest

from aether.cli.main import run
from aether.cli.progress import Standing, standing


def row(artifact, active, wanted, *states):
    instances = [{"state": state} for state in (*states, *["ACTIVE"] * active)]
    return {
        "artifact": artifact, "activeInstances": active, "desiredInstances": wanted, "instances": instances
    }  # fmt: skip


def test_a_standing_counts_and_names_what_is_missing():
    answer = {"slices": [row("a:b:1.0.0", 1, 3, "LOADING", "FAILED"), row("a:c:1.0.0", 2, 2), row("a:bc:1.0.0", 0, 1)]}

    whole = standing(answer)
    assert (whole.active, whole.wanted, whole.is_done) == (3, 6, False)
    assert "a:b:1.0.0 1/3 (1 FAILED, 1 LOADING)" in str(whole)
    assert "a:bc:1.0.0 0/1 (nothing placed yet)" in str(whole)
    assert standing(answer, "a:c:1.0.0") == Standing(2, 2)
    assert standing(answer, "a:b") == Standing(1, 3, ("a:b:1.0.0 1/3 (1 FAILED, 1 LOADING)",))


def test_many_that_are_missing_are_counted():
    answer = {"slices": [row(f"a:s{n}:1.0.0", 0, 1) for n in range(9)]}
    assert str(standing(answer)).endswith("; and 6 more")


def test_a_long_change_is_followed_beside_its_answer(port, capsys):
    """Scripts read the answer; people see that something moves."""
    shown, asked = threading.Event(), []

    def status():
        asked.append(1)
        if len(asked) == 2:  # the first is shown by now
            shown.set()
        return {"slices": [row("a:b:1.0.0", 1, 3, "LOADING")]}

    def deployed():
        assert shown.wait(30)
        return {"status": "deployed", "artifact": "a:b:1.0.0", "instances": 3, "revision": 9}

    port.answers |= {"/slices/status": status, "/deploy": deployed}
    assert run(["deploy", "a:b:1.0.0", "--wait", "60", "-o", "json", "-c", port.address, "--token", "t"]) == 0

    printed = capsys.readouterr()
    assert json.loads(printed.out)["status"] == "deployed"
    assert "1 of 3 instances ACTIVE; a:b:1.0.0 1/3 (1 LOADING)" in printed.err
    assert set(port.tokens) == {"Bearer t"}


@pytest.mark.parametrize("trouble", [(500, {}), {"nonsense": 1}])
def test_trouble_with_the_progress_is_no_trouble_of_the_change(port, capsys, trouble):
    asked = threading.Event()

    def status():
        asked.set()
        return trouble

    port.answers |= {"/slices/status": status, "/undeploy": lambda: asked.wait(30) and {"status": "undeployed"}}
    assert run(["undeploy", "a:b", "--wait", "60", "-c", port.address]) == 0


@pytest.mark.parametrize(("address", "code"), [("127.0.0.1:1", 3), (None, 4)])
def test_a_change_that_fails_while_it_is_waited_for_ends_as_any(port, capsys, address, code):
    port.answers["/scale"] = (409, {"detail": "above max 5"})
    assert run(["scale", "a:b", "-n", "9", "--wait", "-c", address or port.address]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_slices_waits_until_all_are_active(port, capsys):
    answers = iter([{"slices": [row("a:b:1.0.0", n, 1)]} for n in (0, 1)])
    port.answers["/slices/status"] = lambda: next(answers)

    assert run(["slices", "--wait", "60", "-c", port.address]) == 0
    printed = capsys.readouterr()
    assert "0 of 1 instances ACTIVE" in printed.err
    assert "ACTIVE" in printed.out


def test_slices_that_are_not_active_in_time_end_with_their_own_code(port, capsys):
    port.answers["/slices/status"] = {"slices": [row("a:b:1.0.0", 0, 1, "FAILED")]}

    assert run(["slices", "--wait", "0", "-c", port.address]) == 5
    assert "1 FAILED" in capsys.readouterr().err
