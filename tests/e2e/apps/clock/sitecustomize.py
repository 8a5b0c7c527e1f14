"""A wall clock that a test sets: Python reads this at its start where this folder stands in PYTHONPATH.

AETHER_TEST_CLOCK names a file: the seconds by which `time.time()` of this process is wrong, read each time.
Monotonic clocks go on, as they do when somebody sets the time of a machine.
"""

import os
import time

_true, _path = time.time, os.environ["AETHER_TEST_CLOCK"]


def _wrong():
    with open(_path) as file:  # noqa: PTH123 - nothing else is imported yet
        return _true() + float(file.read() or 0)


time.time = _wrong
