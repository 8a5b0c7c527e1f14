"""Spans and moments as people write them."""

import click
import pytest

from aether.cli.times import MOMENT, SPAN, span_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("30m", 1_800.0), ("1h30m", 5_400.0), ("2d", 172_800.0), ("0.5h", 1_800.0)],
)
def test_spans_are_read_as_people_write_them(text, seconds):
    assert span_s(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "m", "30x", "1h 30m", "-5m", "1e9", "9999999999s"])
def test_what_is_no_span_is_refused_with_an_example(text):
    with pytest.raises(click.BadParameter, match="write 90s, 30m"):
        SPAN.convert(text, None, None)


def test_a_moment_with_a_zone_is_the_same_everywhere():
    assert MOMENT.convert("2031-05-01T18:00+02:00", None, None) == MOMENT.convert("2031-05-01T16:00Z", None, None)


@pytest.mark.parametrize("text", ["tomorrow", "", "2031-13-01", "18:00"])
def test_what_is_no_moment_is_refused_with_an_example(text):
    with pytest.raises(click.BadParameter, match="write 2031-05-01T18:00"):
        MOMENT.convert(text, None, None)
