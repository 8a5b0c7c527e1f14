"""Asks a short-lived worker process what the slices of a tree are.

Knows: how such a worker is started, what it may say, for how long it is listened to.
Never: imports of what is in the tree: that happens in the worker.
Holds: whatever the code of the tree does, an answer comes in time, and nothing of the process is left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import trio

from aether.errors import AetherError, BadInput
from aether.hosting.trees import Tree, TreeSlice
from aether.hosting.worker_link import Link
from aether.hosting.worker_log import told
from aether.hosting.worker_messages import PROTOCOL, Describe, Described, Hello, Log
from aether.hosting.worker_process import WorkerProcess, how_it_ended, start_worker
from aether.model.artifact import Artifact
from aether.model.limits import TREE_DESCRIBE_MEMORY_MB, TREE_DESCRIBE_S
from aether.slice_api.described import DescribedSlice, read_slice
from aether.slice_api.program import Program

_MIB: Final = 2**20
_SETTLES_S: Final = 1.0


async def describe_tree(tree: Tree, base: Sequence[str]) -> Mapping[Artifact, DescribedSlice | str]:
    """Each slice of `tree`, or what is wrong with it. base  where a worker finds what the tree has not"""
    path = (*tree.path, *base)
    try:
        answers = await _asked(tree, path)
    except (AetherError, OSError) as error:
        return {each.artifact: str(error) for each in tree.slices}
    if len(answers) != len(tree.slices):
        return {each.artifact: f"{len(answers)} answers for {len(tree.slices)} slices" for each in tree.slices}
    return {each.artifact: _read(each, path, answer) for each, answer in zip(tree.slices, answers, strict=True)}


def _read(each: TreeSlice, path: tuple[str, ...], answer: object) -> DescribedSlice | str:
    match answer:
        case [str(text), ""]:
            program = Program(module=each.module, qualname=each.qualname, path=path)
            try:
                return read_slice(text, program, each.artifact)
            except BadInput as error:
                return str(error)
        case ["", str(problem)]:
            return problem
        case _:
            return "its description has no shape that a description has"


async def _asked(tree: Tree, path: Sequence[str]) -> list[Any]:
    """What the worker answered. Raises BadInput when it did not, OSError when there can be none."""
    process = start_worker(path, leads=True)
    answers: list[list[Any]] = []
    done = trio.CancelScope()  # with the first answer: whatever the code of the tree still runs is nobody's business
    handlers = _handlers(process, answers, done)
    link = Link(process.end, handlers)
    handlers[Hello] = lambda m, _: _hello(m, tree, link)
    try:
        with trio.move_on_after(TREE_DESCRIBE_S) as patience:
            await _heard(link, done)
        if not answers and not patience.cancelled_caught:
            with trio.move_on_after(_SETTLES_S):
                await process.wait()
    finally:
        process.kill_family()
        with trio.CancelScope(shield=True):
            await process.wait()
        status = process.status  # it is reaped
        link.close()
        process.mark.close()
    if answers:
        return answers[0]
    if patience.cancelled_caught:
        raise BadInput(f"its import took more than {TREE_DESCRIBE_S:.0f} s")
    raise BadInput(f"the process that imported it {how_it_ended(status)}")


async def _heard(link: Link, done: trio.CancelScope) -> None:
    """Until the worker is done, or has closed its end. Raises BadInput for what no worker says."""
    misfit: BadInput | None = None
    with done:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.write)
            try:
                await link.read()
            except BadInput as error:
                misfit = error
            nursery.cancel_scope.cancel()
        if misfit is not None:
            raise misfit


def _handlers(
    process: WorkerProcess, answers: list[list[Any]], done: trio.CancelScope
) -> dict[type, Callable[[Any, str], None]]:
    def described(m: Described, _: str) -> None:
        answers.append(m.answers)
        done.cancel()

    return {
        Described: described,
        Log: lambda m, request_id: told(m, request_id, process.pid),
    }


def _hello(m: Hello, tree: Tree, link: Link) -> None:
    if m.protocol != PROTOCOL:
        raise BadInput(f"its path has another release of aether (protocol {m.protocol}, not {PROTOCOL})")
    asked = [[each.module, each.qualname, str(each.artifact)] for each in tree.slices]
    link.post(Describe(asked, logging.getLogger().getEffectiveLevel(), TREE_DESCRIBE_MEMORY_MB * _MIB))
