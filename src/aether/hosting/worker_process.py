"""The operating system's side of a worker: a process that is started, watched, and never left behind.

Knows: how a worker is started without a shell, what of the environment it gets, its memory, how it ended.
Never: messages, instances.
Holds: a worker inherits one end of a socket pair and one page, nothing else; neither configuration nor secrets stand in
       its arguments or its environment. It dies with the thread that started it: on Linux by the kernel's hand.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import trio

from aether.errors import ContractError
from aether.hosting.worker_mark import Mark, new_mark_file

KEPT_VARIABLES: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CACHE_HOME"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "CUDA_VISIBLE_DEVICES"),
    }
)
"""What a worker keeps of its node's environment, beside LC_*: where programs and files are, language, cores. Everything
else, tokens of the node among it, stays with the node: a slice gets its settings by aether.config and aether.secret."""

IS_WORKER: Final = "AETHER_WORKER"
"""Set in every worker: a program that opens its cluster when it is imported would start workers without end."""

_BOOT: Final = """\
import os, sys, threading
sys.path[:] = sys.argv[5:]
def load():
    try:
        if sys.platform == "linux":
            task = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, task, min(os.getpriority(os.PRIO_PROCESS, task) + 10, 19))
        import aether.hosting.worker_main
    except Exception:
        pass  # the import below does it, or says what is wrong
if sys.argv[4] == "whole":
    os.nice(10)
else:
    loading = threading.Thread(target=load)
    loading.start()
    loading.join()
from aether.hosting.worker_main import main
main(*map(int, sys.argv[1:4]))
"""
"""Importing is a fifth of a second of a core, while an update or a scaler starts several workers beside the requests of
their nodes. So a thread of lower priority does it, which is over then: a process that lowers its own cannot raise it
again. One that nobody's request waits for keeps it: "whole".
"""
_POLL_S: Final = 0.01  # between looks at a process where the kernel offers no descriptor for it


def kept_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What of `environment` a worker gets, and the mark that it is one."""
    kept = {name: text for name, text in environment.items() if name in KEPT_VARIABLES or name.startswith("LC_")}
    return {**kept, IS_WORKER: "1"}


class WorkerProcess:
    """A process that runs `worker_main`, with this side's end of the socket pair and the shared mark."""

    def __init__(self, process: subprocess.Popen[bytes], end: socket.socket, mark: Mark) -> None:
        self._process = process
        self.end: socket.socket = end
        self.mark: Mark = mark
        self.pid: int = process.pid

    def kill(self) -> None:
        """SIGKILL; nothing happens when it has ended."""
        self._process.kill()

    def kill_family(self) -> None:
        """SIGKILL for it and what it has started, of one that leads a group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    @property
    def status(self) -> int:
        """Its exit status, negative for the signal that ended it; once `wait` has returned."""
        return self._process.wait()

    def reap(self) -> None:
        """Let the system forget it, once `wait` has returned."""
        self._process.poll()

    async def wait(self) -> None:
        """Return as soon as it has ended; for how long to wait is the caller's to say."""
        if self._process.poll() is not None or await self._told_by_kernel():
            return
        while self._process.poll() is None:  # noqa: ASYNC110 - there is no descriptor to wait for
            await trio.sleep(_POLL_S)

    async def _told_by_kernel(self) -> bool:
        """Wait for its descriptor; False when there is none."""
        if not hasattr(os, "pidfd_open"):
            return False
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:  # an old kernel, a sandbox that forbids it, an application that reaps every child by itself
            return False
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)
        return True

    def resident_bytes(self) -> int:
        """Memory that it holds now; 0 when it has ended."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0


def start_worker(path: Sequence[str], *, leads: bool = False) -> WorkerProcess:
    """Start one, with `path` as its sys.path. leads  a process group of its own, for kill_family, and low priority

    Blocks for a few milliseconds, in this thread on purpose: the kernel ends a worker together with the thread that
    started it, and threads that the loop lends its work to come and go.

    Raises OSError when no process can be started, ContractError on a system that has none of this kind.
    """
    if sys.platform == "win32":
        raise ContractError('host="process" needs Linux or another POSIX system; leave it out to live in the node')
    if os.environ.get(IS_WORKER):
        raise ContractError(
            "a worker process was about to start workers of its own: put what opens the cluster below "
            '`if __name__ == "__main__":`'
        )
    mine, theirs = socket.socketpair()
    page = new_mark_file()
    try:
        mark = Mark(page)
        arguments = [sys.executable, "-I", "-c", _BOOT, str(theirs.fileno()), str(page), str(os.getpid())]
        arguments += ["whole" if leads else "start", *path]
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and our own line of code
            arguments,
            stdin=subprocess.DEVNULL,
            env=kept_environment(os.environ),
            pass_fds=(theirs.fileno(), page),
            process_group=0 if leads else None,
        )
    except BaseException:
        mine.close()
        raise
    finally:
        theirs.close()
        os.close(page)
    return WorkerProcess(process, mine, mark)


def can_watch_memory() -> bool:
    """Whether this system tells the memory of another process."""
    return Path("/proc/self/statm").exists()


def how_it_ended(status: int) -> str:
    """`ended by SIGKILL`, `exited with status 3`."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
