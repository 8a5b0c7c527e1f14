"""A program in a terminal of its own: what it wrote can be waited for, keys can be pressed."""

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl

WAIT_S = 40.0


def _take_terminal():
    """In the child: keys such as Ctrl-C reach it, also where whoever runs the tests ignores them (`pytest &`)."""
    ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    def __init__(self, arguments, environment, lines=30, columns=120):
        ours, theirs = pty.openpty()
        inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}  # the terminal says
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._fd = ours
        self.text = ""
        self._seen = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aether", *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, env={**inherited, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **environment},
            preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(theirs)

    def wait_for(self, pattern):
        """The match of `pattern` behind what was waited for before."""
        ends = time.monotonic() + WAIT_S
        while True:
            found = re.compile(pattern).search(self.text, self._seen)
            if found:
                self._seen = found.end()
                return found
            if not select.select([self._fd], [], [], max(0.0, ends - time.monotonic()))[0] or not self._read():
                raise AssertionError(f"nothing fits {pattern!r} in {self.text[self._seen :]!r}")

    def _read(self):
        try:
            raw = os.read(self._fd, 65536)
        except OSError:  # its last process has closed it
            return False
        self.text += raw.decode(errors="replace")
        return bool(raw)

    def press(self, keys):
        os.write(self._fd, keys.encode())

    def ended(self):
        """The exit code; what was still written is read."""
        while self._read():
            pass
        return self.process.wait(WAIT_S)

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(WAIT_S)
        os.close(self._fd)
