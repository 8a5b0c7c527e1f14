"""How a node writes its log: as text for people, or one JSON object per line for machines.

Knows: the fields of a record, and those of the call that it belongs to.
Never: levels, where lines go.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import Final

from aether.slice_api.log_filter import FIELDS, CallLogFilter

FORMATS: Final = ("text", "json")
TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s %(message)s"


class JsonLines(logging.Formatter):
    """One object per record: time (RFC 3339, UTC), level, logger, message, node; of a call also request_id, trace_id,
    span_id, slice, method and instance; `exception` with the traceback. What is empty is left out, and what was given
    as `extra` stands under its own name.
    """

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: getattr(record, name, "") for name in FIELDS},
        }
        line["node"] = line["node"] or self._node
        line |= {name: value for name, value in vars(record).items() if name not in _OWN and name not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in line.items() if value != ""}, ensure_ascii=False, default=str)


_OWN: Final = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", None, None)).keys() | {"message", "asctime", "taskName", *FIELDS}
)
"""What every record has: the rest was given as `extra`."""


def write_log(level: str, log_format: str, node: str) -> None:
    """From now on records of `level` and above go to the standard error, in one of FORMATS."""
    handler = logging.StreamHandler()
    handler.addFilter(CallLogFilter())
    handler.setFormatter(JsonLines(node) if log_format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler])
