"""The last events, read from any place on: all of it, or a word that some is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.metrics.event_log import EventLog
from aether.metrics.events import LAST, LOCAL_TYPES, EventType, Place, Since, iso, read_since, told
from aether.model.limits import EVENTS_KEPT_MAX


def log_of(**limits):
    return EventLog("n1", "i1", **limits)


def some(count=1):
    return [told(EventType.SCALED, f"s{n}", "scaled") for n in range(count)]


def everything(event):
    return True


def test_the_ordinal_counts_within_a_revision_however_its_changes_arrive():
    """A batch that is applied in one go, and one that is applied in two, must give the same ids."""
    log = log_of()
    log.add(7, 1.0, some(2))
    log.add(7, 1.0, some(1))
    log.add(8, 1.0, some(1))

    assert [e.id for e in log.select(None, everything, 10).events] == ["7.0", "7.1", "7.2", "8.0"]


STEPS = st.lists(st.one_of(st.integers(0, 3), st.just("local"), st.just("anew")), max_size=40)


@settings(max_examples=200)
@given(STEPS, st.integers(1, 6), st.integers(1, 3), st.data())
def test_whoever_asks_since_a_place_gets_all_that_followed_or_hears_that_some_is_forgotten(steps, kept, local, data):
    log, all_ids, revision = log_of(kept_max=kept, local_max=local), [], 0
    begun = 0
    for step in steps:
        revision += 1
        if step == "local":
            log.add_local(float(revision), told(EventType.QUORUM_LOST, "n1", "lost"))
        elif step == "anew":
            log.begin_anew(revision, float(revision))
            begun = revision
        else:
            log.add(revision, float(revision), some(step))
            all_ids += [Place(revision, n) for n in range(step)]
    asked = Place(data.draw(st.integers(0, revision)), data.draw(st.sampled_from([0, 1, LAST])))
    found = log.select(Since(place=asked), everything, 1000)
    wanted = [str(place) for place in all_ids if place > asked and place > Place(begun, LAST)]
    got = [event.id for event in found.events if event.ordered]

    assert got == wanted[len(wanted) - len(got) :], "the newest, in order, without a gap"
    if got != wanted or asked < Place(begun, LAST):
        assert found.truncated
    if not found.truncated:
        assert got == wanted
    assert sum(not event.ordered for event in found.events) <= local


@settings(max_examples=100)
@given(STEPS, st.integers(0, 40))
def test_who_follows_by_arrival_gets_each_event_once_or_hears_that_some_is_forgotten(steps, at):
    log, revision, number, seen = log_of(kept_max=5, local_max=2), 0, 0, []
    for step in steps:
        revision += 1
        if step == "local":
            log.add_local(1.0, told(EventType.QUORUM_LOST, "n1", "lost"))
        elif step != "anew":
            log.add(revision, 1.0, some(step))
        if revision % (at + 1) == 0:
            later = log.arrived_after(number)
            if later is None:
                number = log.newest
                continue
            seen += [n for n, _ in later]
            number = max([number, *(n for n, _ in later)])
    assert seen == sorted(set(seen))


def test_events_of_a_node_push_out_none_of_the_cluster():
    log = log_of()
    log.add(1, 1.0, some(1))
    for _ in range(3 * EVENTS_KEPT_MAX):
        log.add_local(2.0, told(EventType.CONNECTION_FAILED, "n2", "gone"))

    assert log.select(Since(place=Place(0, LAST)), everything, 1).events[0].id == "1.0"
    assert not log.select(Since(place=Place(0, LAST)), everything, 1).truncated


def test_alerts_are_remembered_beyond_what_else_happens():
    log = log_of(kept_max=2)
    log.add(1, 1.0, [told(EventType.ALERT_TRIGGERED, "cpu.usage:n1", "high")])
    log.add(2, 1.0, some(5))

    assert [event.id for event in log.alerts()] == ["1.0"]


def test_an_event_of_a_node_names_it_and_is_not_ordered():
    log = log_of()
    log.add_local(1.0, told(EventType.DISK_FULL, "n1", "full"))
    (event,) = log.select(None, everything, 1).events

    assert (event.id, event.node, event.ordered) == ("n1:i1:1", "n1", False)
    assert EventType.DISK_FULL in LOCAL_TYPES


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("12", Since(place=Place(12, LAST))),
        ("12.3", Since(place=Place(12, 3))),
        ("1970-01-01T00:00:02Z", Since(at=2.0)),
        ("1970-01-01T00:00:02", Since(at=2.0)),
        ("1970-01-01T01:00:02+01:00", Since(at=2.0)),
    ],
)
def test_since_is_an_id_a_revision_or_a_moment(text, since):
    assert read_since(text) == since


@pytest.mark.parametrize("text", ["n1:i1:4", "yesterday", "-1", "1.2.3", "", "12.", "9" * 40])
def test_since_that_is_neither_is_refused_with_an_example(text):
    with pytest.raises(BadInput, match="such as"):
        read_since(text)


def test_a_moment_is_shown_in_utc_to_the_millisecond():
    assert iso(2.5) == "1970-01-01T00:00:02.500Z"
