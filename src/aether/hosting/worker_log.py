"""Log records of a worker, on their way to the handlers of its node.

Knows: which facts of a record travel, how long they may be, what is dropped when the node does not keep up.
Never: configuration of logging: the node's own loggers, levels and handlers decide what becomes of a record.
"""

from __future__ import annotations

import contextvars
import logging
from typing import Final

import trio

from aether.hosting.worker_link import Link
from aether.hosting.worker_messages import Log
from aether.model.limits import WORKER_LOG_CHARS_MAX, WORKER_LOGS_QUEUED_BYTES_MAX
from aether.slice_api.current import RUNNING, Running, current_call
from aether.slice_api.faults import sendable

HANDED_MAX: Final = WORKER_LOGS_QUEUED_BYTES_MAX // WORKER_LOG_CHARS_MAX
"""Records of threads that wait for a busy loop; further ones are dropped and counted."""
_LEVEL_MAX: Final = 2**31
_TEXT: Final = logging.Formatter("%(message)s")


class ToNode(logging.Handler):
    """The worker's only handler. Records of other threads are handed to the loop, which alone writes to the link.

    Its lock, which `emit` is called with, guards the counts.
    """

    def __init__(self, link: Link, token: trio.lowlevel.TrioToken) -> None:
        super().__init__()
        self._link = link
        self._token = token
        self._dropped = 0
        self._handed = 0  # to the loop, which has not come to them

    def emit(self, record: logging.LogRecord) -> None:
        """Queue it; never waits."""
        try:
            log = _spelt(record)
        except Exception:  # noqa: BLE001 - the arguments do not fit the format: logging's own way to say so
            self.handleError(record)
            return
        request_id = current_call().request_id
        try:
            if trio.lowlevel.in_trio_task():
                self._queue(log, request_id)
            elif self._handed >= HANDED_MAX:
                self._dropped += 1
            else:
                self._token.run_sync_soon(self._take, log, request_id)
                self._handed += 1
        except trio.RunFinishedError:
            self.handleError(record)

    def _take(self, log: Log, request_id: str) -> None:
        self.acquire()
        try:
            self._handed -= 1
            self._queue(log, request_id)
        finally:
            self.release()

    def _queue(self, log: Log, request_id: str) -> None:
        if self._link.send(log._replace(dropped=self._dropped), request_id, WORKER_LOGS_QUEUED_BYTES_MAX):
            self._dropped = 0
        else:
            self._dropped += 1


def _spelt(record: logging.LogRecord) -> Log:
    """As it travels, whatever it holds: half a character, as in names of files, is written out."""
    level = min(max(int(record.levelno), -_LEVEL_MAX), _LEVEL_MAX)
    return Log(level, _short(record.name), _short(_TEXT.format(record)), float(record.created), 0)


def _short(text: str) -> str:
    return sendable(text[:WORKER_LOG_CHARS_MAX])[:WORKER_LOG_CHARS_MAX]


def told(log: Log, request_id: str, pid: int) -> None:
    """Give the record to this process's logger of that name, as of the same request; its `process` is the worker's."""
    logger = logging.getLogger(log.logger[:WORKER_LOG_CHARS_MAX])
    if log.dropped:
        logger.warning("%d records of worker process %d were dropped: it logs too fast", log.dropped, pid)
    if logger.isEnabledFor(log.level):
        record = logger.makeRecord(logger.name, log.level, "", 0, "%s", (log.message[:WORKER_LOG_CHARS_MAX],), None)
        record.created, record.process = log.created, pid
        contextvars.copy_context().run(_handle, logger, record, request_id)


def _handle(logger: logging.Logger, record: logging.LogRecord, request_id: str) -> None:
    RUNNING.set(Running(request_id=request_id))
    logger.handle(record)
