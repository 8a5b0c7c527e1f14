"""What is read of a process, a container and a machine."""

import gc

import psutil
import pytest

from aether.metrics.cgroup import group_folders, read_bytes_limit, read_cpu_max, read_quota, read_usage_s
from aether.metrics.gc_service import GcWatch
from aether.metrics.own_figures import Rates, process_figures, row_of
from aether.metrics.process_service import ProcessProbe, ProcessReading


@pytest.mark.parametrize(
    ("text", "limit"), [("max\n", None), ("536870912\n", 2**29), ("9223372036854771712", None), ("", None)]
)
def test_a_limit_of_memory_is_bytes_or_none(text, limit):
    assert read_bytes_limit(text) == limit


@pytest.mark.parametrize(("text", "cores"), [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None), ("5", None)])
def test_a_quota_of_the_second_generation_is_cores(text, cores):
    assert read_cpu_max(text) == cores


def test_a_quota_of_the_first_generation_is_two_files():
    assert read_quota("50000\n", "100000\n") == 0.5
    assert read_quota("-1\n", "100000\n") is None


def test_usage_is_seconds_in_either_generation():
    assert read_usage_s("usage_usec 2500000\nuser_usec 1\n") == 2.5
    assert read_usage_s("3500000000\n") == 3.5
    assert read_usage_s("") is None


def test_folders_of_groups_end_at_the_mount_itself():
    """In a container the paths are often those of the host."""
    first = "9:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n"
    assert list(group_folders(first, "memory"))[:2] == ["memory/docker/abc", "memory"]
    assert next(iter(group_folders(first, "cpu"))) == "cpu/docker/abc"
    assert list(group_folders("0::/user.slice/x\n", "memory")) == ["user.slice/x", ""]


def test_the_probe_reads_this_very_process():
    reading = ProcessProbe().read()

    assert reading.rss_bytes == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert reading.limit_bytes > reading.rss_bytes
    assert reading.threads >= 1
    assert 0 < reading.fds < reading.fds_max
    assert reading.cpu_s > 0
    assert reading.machine_s > 0


def test_what_cannot_be_read_is_not_known_and_said_once(monkeypatch, caplog):
    """Such as descriptors, when there are too many to look how many there are."""
    probe = ProcessProbe()

    def refuse(_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(psutil.Process, "num_fds", refuse)
    first, second = probe.read(), probe.read()

    assert (first.fds, second.fds) == (None, None)
    assert first.threads is not None
    assert caplog.text.count("Too many open files") == 1


def test_usage_is_that_of_the_one_thread_or_of_the_machine_whichever_is_larger():
    rates = Rates()
    assert "cpu.usage" not in process_figures(ProcessReading(cpu_s=10.0, machine_s=100.0, cores=8.0), rates, 0.0)
    busy = process_figures(ProcessReading(cpu_s=12.4, machine_s=104.0, cores=8.0), rates, 2.0)
    assert (busy["process.cpu"], busy["machine.cpu"], busy["cpu.usage"]) == (pytest.approx(1.2), 0.25, 1.0)
    crowded = process_figures(ProcessReading(cpu_s=12.5, machine_s=119.0, cores=8.0), rates, 4.0)
    assert crowded["cpu.usage"] == pytest.approx(15 / 16)


def test_a_counter_that_began_anew_has_no_rate():
    rates = Rates()
    assert rates.per_second("x", 5, 1.0) is None
    assert rates.per_second("x", 9, 3.0) == 2.0
    assert rates.per_second("x", 1, 4.0) is None
    assert rates.per_second("x", 3, 5.0) == 2.0
    assert rates.per_second("x", None, 6.0) is None


def test_a_name_that_is_no_figure_is_a_bug():
    with pytest.raises(KeyError):
        row_of([{"no.such": 1.0}])


def test_collections_are_counted_while_the_block_lasts_and_nothing_stays_behind():
    before = list(gc.callbacks)
    with GcWatch() as watch:
        gc.collect()
        counted, paused_s = watch.collections, watch.pause_s
    gc.collect()

    assert counted >= 1
    assert paused_s > 0
    assert (watch.collections, gc.callbacks) == (counted, before)
