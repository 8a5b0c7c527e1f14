"""Which call a log record belongs to.

Knows: the attributes that records get.
Never: loggers, handlers, formats: they are the application's, and nothing is installed by importing this.
"""

from __future__ import annotations

import logging
from typing import Final

from aether.slice_api.current import current_call

FIELDS: Final = ("request_id", "trace_id", "span_id", "slice", "method", "instance", "node")


class CallLogFilter(logging.Filter):
    """Gives each record the facts of the call that logs: `request_id`, `trace_id`, `span_id`, `slice`, `method`,
    `instance` and `node`, "" outside of calls. It lets every record pass.

        handler.addFilter(aether.CallLogFilter())
        handler.setFormatter(logging.Formatter("%(levelname)s %(request_id)s %(slice)s.%(method)s %(message)s"))

    Add it to handlers: a filter of a logger does not see the records of loggers below. A record that has an attribute
    of such a name already keeps it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        call = current_call()
        for name in FIELDS:
            if not hasattr(record, name):
                setattr(record, name, getattr(call, name))
        return True
