"""What one look at the cluster from outside finds: processes, directories, figures that the nodes tell.

Knows: /proc by psutil, the files of a data directory, two paths of the management API.
Never: the load, the chaos, verdicts.
Holds: a look takes no longer than LOOK_S; a node that does not answer is looked at without its own figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import attrs
import httpx
import psutil
import trio

from aether.testing.nemesis.cluster import NemesisCluster
from benchmarks.soak.flatness import Bound, Point

MIB: Final = 2**20
LOOK_S: Final = 8.0
PAGE_ROWS: Final = 1_000
ROWS_MAX: Final = 200_000
AUDIT: Final = "audit/"
"""Rows of their own limit: one for each change by an operator, such as the deletion of an old order."""

CLUSTER: Final = "cluster"
"""In the place of a node: what all of them have together."""

RUN: Final = "run"
"""The life of what no restart ends: directories, rows, the number of workers."""


@attrs.frozen(kw_only=True)
class Watched:
    """A figure that must be flat.

    is_lasting  whether it survives the process; scale  from what is measured to `unit`
    """

    name: str
    unit: str
    about: str
    bound: Bound
    is_lasting: bool = False
    scale: float = 1.0


WATCHED: Final = (
    Watched(
        name="rss",
        unit="MiB",
        about="resident memory of a node",
        bound=Bound(per_hour=8.0, slack=3.0, watched_s=1_200.0),  # its log, history and audit fill by number first
        scale=1 / MIB,
    ),
    Watched(name="fds", unit="", about="descriptors of a node", bound=Bound(per_hour=6.0, slack=4.0)),
    Watched(name="threads", unit="", about="threads of a node", bound=Bound(per_hour=4.0, slack=2.0)),
    Watched(name="tasks", unit="", about="trio tasks of a node", bound=Bound(per_hour=12.0, slack=6.0)),
    Watched(
        name="disk",
        unit="MiB",
        about="data directory of a node",
        bound=Bound(per_hour=32.0, slack=140.0),
        is_lasting=True,
        scale=1 / MIB,
    ),
    Watched(
        name="segments",
        unit="",
        about="segments of its write-ahead log, 64 MiB each",
        bound=Bound(per_hour=1.0, slack=2.0),
        is_lasting=True,
    ),
    Watched(
        name="snapshots",
        unit="MiB",
        about="its data directory without the log",
        bound=Bound(per_hour=2.0, slack=1.0),
        is_lasting=True,
        scale=1 / MIB,
    ),
    Watched(
        name="rows",
        unit="",
        about="rows of the replicated store but for the audit, as the node holds them",
        bound=Bound(per_hour=300.0, slack=120.0),
        is_lasting=True,
    ),
    Watched(
        name="workers",
        unit="",
        about="worker processes, of all nodes",
        bound=Bound(per_hour=1.0, slack=1.0),
        is_lasting=True,
    ),
    Watched(
        name="workers_rss",
        unit="MiB",
        about="their resident memory",
        bound=Bound(per_hour=8.0, slack=8.0),
        is_lasting=True,
        scale=1 / MIB,
    ),
)


@attrs.frozen(kw_only=True)
class Sample:
    """One look at one node, or at all. life  of its process; what could not be seen is missing in `seen`"""

    at_s: float
    node: str
    life: str
    seen: Mapping[str, float]


def write_sample(sample: Sample, file: TextIO) -> None:
    file.write(json.dumps(attrs.asdict(sample)) + "\n")
    file.flush()


def read_samples(text: str) -> list[Sample]:
    return [Sample(**json.loads(line)) for line in text.splitlines() if line.strip()]


def points(samples: Iterable[Sample], figure: Watched, node: str) -> list[Point]:
    """Of one figure of one node, in its unit."""
    return [
        Point(s.at_s, s.seen[figure.name] * figure.scale, RUN if figure.is_lasting else s.life)
        for s in samples
        if s.node == node and figure.name in s.seen
    ]


async def look(cluster: NemesisCluster, at_s: float) -> list[Sample]:
    """All nodes, and what they have together."""
    found: list[Sample] = []
    workers: list[float] = []
    for node in cluster.nodes:
        if node not in cluster.processes.running:
            continue
        pid = cluster.processes.process_id(node)
        seen = process_figures(pid)
        if not seen:
            continue
        workers += child_figures(pid)
        seen |= directory_figures(cluster.processes.directory(node))
        with trio.move_on_after(LOOK_S):
            seen |= await told_figures(cluster, node)
        found.append(Sample(at_s=at_s, node=node, life=str(pid), seen=seen))
    if len(found) == len(cluster.nodes):  # else workers of a node that is away would count as gone
        together = {"workers": float(len(workers)), "workers_rss": sum(workers)}
        found.append(Sample(at_s=at_s, node=CLUSTER, life=RUN, seen=together))
    return found


def process_figures(pid: int) -> dict[str, float]:
    """Empty when the process is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            memory, threads, fds = process.memory_info().rss, process.num_threads(), process.num_fds()
    except psutil.Error:
        return {}
    return {"rss": float(memory), "threads": float(threads), "fds": float(fds)}


def child_figures(pid: int) -> list[float]:
    """Resident memory of each process that a node started."""
    found: list[float] = []
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    for child in children:
        try:
            found.append(float(child.memory_info().rss))
        except psutil.Error:  # it ended just now
            continue
    return found


def directory_figures(folder: Path) -> dict[str, float]:
    """Bytes that the files really take. Files come and go while one looks."""
    disk, log, segments = 0, 0, 0
    for path in folder.rglob("*"):
        try:
            taken = path.stat().st_blocks * 512 if path.is_file() else 0
        except FileNotFoundError:
            continue
        disk += taken
        if path.parent.name == "wal":
            log, segments = log + taken, segments + 1
    return {"disk": float(disk), "segments": float(segments), "snapshots": float(disk - log)}


async def told_figures(cluster: NemesisCluster, node: str) -> dict[str, float]:
    """What the node itself tells, as far as it answers."""
    found: dict[str, float] = {}
    try:
        text = (await cluster.http.get(f"{cluster.urls[node]}/metrics/prometheus")).raise_for_status().text
        tasks = next(line for line in text.splitlines() if line.startswith("aether_node_tasks "))
        found["tasks"] = float(tasks.split()[1])
        found["rows"] = float(await _rows(cluster, node))
    except (httpx.HTTPError, KeyError, ValueError, StopIteration):  # it is being disturbed
        pass
    return found


async def _rows(cluster: NemesisCluster, node: str) -> int:
    counted, after = 0, ""
    headers = {"Authorization": f"Bearer {cluster.token(node)}"}
    while counted < ROWS_MAX:
        query: dict[str, Any] = {"limit": PAGE_ROWS, **({"after": after} if after else {})}
        answer = await cluster.http.get(f"{cluster.urls[node]}/kv", params=query, headers=headers)
        page = answer.raise_for_status().json()
        counted += sum(not row["key"].startswith(AUDIT) for row in page["rows"])
        after = page["next"] or ""
        if not after:
            break
    return counted
