"""The FastAPI example as a real process under uvicorn: calls, time-outs, and an orderly end by signal."""

import contextlib
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
ANSWER_S = 30.0
pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


class Application:
    """The running example: its address, what it printed, a client."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "examples.fastapi_host"],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.printed = []
        for line in self.process.stdout:
            self.printed.append(line)
            if found := re.search(r"running on (http://[\d.:]+)", line):
                break
        else:
            raise AssertionError("".join(self.printed))
        self._reader = threading.Thread(target=lambda: self.printed.extend(self.process.stdout))
        self._reader.start()
        self.client = httpx.Client(base_url=found[1], trust_env=False, timeout=ANSWER_S)

    def end_by(self, number):
        """The exit code."""
        self.process.send_signal(number)
        code = self.process.wait(ANSWER_S)
        self._reader.join(ANSWER_S)
        return code

    def close(self):
        self.client.close()
        self.process.kill()
        self.process.wait(ANSWER_S)
        self._reader.join(ANSWER_S)
        self.process.stdout.close()

    @property
    def text(self):
        return "".join(self.printed)


@pytest.fixture
def application():
    with contextlib.closing(Application()) as application:
        yield application


def test_routes_of_fastapi_are_answered_by_slices(application):
    dishes = [application.client.post("/dishes/soup") for _ in range(4)]

    assert [answer.status_code for answer in dishes] == [200, 200, 200, 409]
    assert dishes[0].json() == {"name": "soup", "minutes": 0}
    assert dishes[3].json() == {"detail": "no soup left"}


def test_a_time_out_of_asyncio_cancels_the_call_in_the_slice(application):
    impatient = application.client.post("/dishes/roast", params={"seconds": 30, "patience": 0.1})

    assert impatient.status_code == 504
    assert application.client.get("/waste").json() == ["roast"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_request_under_way_then_the_slices_then_the_process(application, number):
    answers = []
    request = threading.Thread(
        target=lambda: answers.append(application.client.post("/dishes/soup", params={"seconds": 1}))
    )
    request.start()
    while not application.client.get("/cooking").json():
        pass

    code = application.end_by(number)
    request.join(ANSWER_S)

    assert code in (0, -number)  # uvicorn raises the signal again when all is done
    assert answers[0].status_code == 200
    assert "Traceback" not in application.text
    order = [application.text.index(said) for said in ("POST /dishes/soup", "kitchen is closed", "shutdown complete")]
    assert order == sorted(order)
