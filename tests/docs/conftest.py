"""Processes that run what the documents show, each in the folder of its test."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

ANSWER_S = 30.0
STOP_S = 20.0


class Program:
    """A running process whose output can be waited for."""

    def __init__(self, arguments, folder):
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": str(folder / "state")}
        self.process = subprocess.Popen(
            arguments, cwd=folder, env=environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.printed = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.printed.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, pattern):
        """The match of the first line that fits."""
        with self._changed:
            self._changed.wait_for(lambda: self._match(pattern) or self._ended, ANSWER_S)
            found = self._match(pattern)
        assert found, f"no line fits {pattern!r}:\n" + "\n".join(self.printed)
        return found

    def _match(self, pattern):
        return next(filter(None, (re.search(pattern, line) for line in self.printed)), None)

    def interrupt(self):
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S)

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its children too
        self.process.wait(STOP_S)
        self._reader.join(STOP_S)
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path):
    """Start a Python program in the test's folder: `start("hello.py")`, `start("-m", "aether", ...)`."""
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            program = Program([sys.executable, *arguments], tmp_path)
            stack.callback(program.close)
            return program

        yield start


@pytest.fixture
def aether(tmp_path):
    """Run one `aether` command line in the test's folder; what it printed."""

    def aether(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "aether", *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=ANSWER_S, check=False,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return aether
