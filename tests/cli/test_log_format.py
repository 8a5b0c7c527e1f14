"""Lines of the log for machines."""

import json
import logging
import sys

import pytest

from aether.cli.log_format import JsonLines
from aether.slice_api.log_filter import CallLogFilter


def line_of(record):
    CallLogFilter().filter(record)
    return json.loads(JsonLines("node-1").format(record))


def record_of(message, *arguments, extra=None, exc_info=None, level=logging.INFO):
    logger = logging.getLogger("aether.test")
    return logger.makeRecord("aether.test", level, __file__, 1, message, arguments, exc_info, extra=extra)


def test_a_record_outside_of_calls_names_its_node_and_nothing_that_is_empty():
    line = line_of(record_of("%s leads", "node-2"))

    assert line.pop("time").endswith("Z")
    assert line == {"level": "INFO", "logger": "aether.test", "message": "node-2 leads", "node": "node-1"}


def test_a_record_of_a_call_names_it():
    line = line_of(record_of("x", extra={"request_id": "r-1", "slice": "Orders", "method": "place", "node": "n-9"}))

    assert (line["request_id"], line["slice"], line["method"], line["node"]) == ("r-1", "Orders", "place", "n-9")


def test_what_was_given_beside_the_message_stands_under_its_own_name():
    line = line_of(record_of("x", extra={"order": 7, "odd": object}))

    assert line["order"] == 7
    assert "object" in line["odd"]


@pytest.mark.parametrize("text", ["two\nlines", 'quotes " and \\', "é\u2028"])
def test_a_record_is_one_line_whatever_it_says(text):
    record = record_of(text)
    CallLogFilter().filter(record)
    written = JsonLines("n").format(record)

    assert "\n" not in written
    assert json.loads(written)["message"] == text


def test_an_exception_comes_with_its_traceback():
    try:
        raise ValueError("no")
    except ValueError:
        line = line_of(record_of("failed", exc_info=sys.exc_info(), level=logging.ERROR))

    assert line["exception"].endswith("ValueError: no")
