"""The instances of this node.

Knows: loaded contracts, running instances, what a starting one waits for.
Never: which instances should run here, or for how long a start may last (deployment cancels it).
Holds: an instance is found from its activation to the end of its drain, and never before its lifespan started. Each
       instance lives in one task of Hosting's nursery; its crash ends that instance alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import trio

from aether.errors import Conflict, NotFound
from aether.hosting.chained import Chained
from aether.hosting.failures import Place
from aether.hosting.fencing import Fence, fence_of
from aether.hosting.hosts import Birth, Host, InProcess, Living, wanted_place
from aether.hosting.injection import Classes, Reports, Sources, given_values
from aether.hosting.replicated_map import ReplicatedBackend
from aether.hosting.worker_host import WorkerProcesses
from aether.invocation.local import LocalInstance
from aether.invocation.service import Invoker
from aether.kv.service import KvService
from aether.model.artifact import Artifact
from aether.model.hosts import IN_PROCESS, WORKER
from aether.model.ids import InstanceId, NodeId
from aether.model.limits import DRAIN_S
from aether.model.rows import DesiredRow, InstanceRow
from aether.slice_api.binding import Binding
from aether.slice_api.described import AnySlice, slice_of
from aether.slice_api.faults import leaving, text_of
from aether.slice_api.middleware import Middleware
from aether.work import Work


class Hosting:
    """Starts, finds and stops instances. Implements LocalHost for the Invoker and InstanceHost for deployment.

    config, secrets  of this process: dotted key -> text
    bindings         which slice stands for which Protocol, where the blueprint does not say
    drain_s          how long running calls may last after an instance was told to stop
    middleware       around every call that an instance of this node serves, the first outermost
    worker_processes  False: an instance that asks for a process of its own lives here as well
    """

    def __init__(
        self,
        node: NodeId,
        classes: Classes,
        kv: KvService,
        work: Work,
        *,
        config: Mapping[str, str],
        secrets: Mapping[str, str] | None = None,
        bindings: Sequence[Binding] = (),
        drain_s: float = DRAIN_S,
        middleware: Sequence[Middleware] = (),
        worker_processes: bool = True,
    ) -> None:
        self._worker_processes = worker_processes
        self._middleware = tuple(middleware)
        self._node = node
        self._classes = classes
        self._kv = kv
        self._work = work
        self._config = config
        self._secrets = secrets or {}
        self._bindings = tuple(bindings)
        self._drain_s = drain_s
        self._loaded: dict[Artifact, AnySlice] = {}
        self._instances: dict[InstanceId, _Hosted] = {}
        self._sources: Sources | None = None
        self._hosts: Mapping[str, Host] = {}
        self._nursery: trio.Nursery | None = None

    async def run(
        self, invoker: Invoker, reports: Reports, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Own every instance until cancelled. `invoker` carries the calls of injected proxies."""
        async with trio.open_nursery() as self._nursery:
            self._sources = Sources(
                classes=self._classes,
                kv=self._kv,
                reports=reports,
                config=self._config,
                secrets=self._secrets,
                bindings=self._bindings,
            )
            self._hosts = self._built_in(invoker)
            task_status.started()
            await trio.sleep_forever()
        raise AssertionError("sleep_forever returned")

    def find(self, instance: InstanceId) -> LocalInstance | None:
        """The running instance of that id, draining ones included."""
        hosted = self._instances.get(instance)
        if hosted is None:
            return None
        hosted.asked += 1
        return hosted.running

    def usage(self, instance: InstanceId) -> tuple[int, int] | None:
        """Calls that run in it now, and how often one asked for it so far; None when it does not run here."""
        hosted = self._instances.get(instance)
        return None if hosted is None else (hosted.running.running, hosted.asked)

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot of an instance here."""
        return sum(hosted.running.waiting for hosted in self._instances.values())

    @property
    def drain_s(self) -> float:
        """The longest time that calls of an instance here may last after it was told to stop."""
        return max((hosted.drain_s for hosted in self._instances.values()), default=self._drain_s)

    async def load(self, artifact: Artifact) -> None:
        """Make the class of `artifact` ready. Raises whatever loading it raised."""
        if artifact not in self._loaded:
            self._loaded[artifact] = slice_of(await self._classes.load(artifact))

    async def activate(self, row: InstanceRow, desired: DesiredRow) -> None:
        """Construct and start one instance; returns once it serves.

        Waits, reporting why, while a dependency is not deployed. Raises what its start raised; when cancelled, the
        half-started instance is cancelled too.
        """
        if row.instance in self._instances:
            raise Conflict(f"instance {row.instance}", "it runs already")
        assert self._nursery is not None, "Hosting.run comes first"
        assert self._sources is not None
        await self.load(row.artifact)
        contract = self._contract(row.artifact)
        wanted = wanted_place(contract, desired)
        host = self._hosts.get(wanted.host)
        if host is None:
            raise NotFound("host", wanted.host, f"this node has {', '.join(sorted(self._hosts))}")
        birth = Birth(
            instance=row.instance,
            contract=contract,
            given=await given_values(self._sources, row, contract, desired),
            place=Place(slice=contract.name, instance=row.instance, node=self._node),
            drain_s=self._drain_s if desired.drain_s is None else desired.drain_s,
            memory_mb=wanted.memory_mb,
            fence=fence_of(row, is_singleton=contract.options.singleton),
        )
        hosted = _Hosted(row.artifact, host.instance(birth), birth.drain_s)
        error = await self._nursery.start(self._live, row.instance, hosted)
        if error is not None:
            raise error

    async def deactivate(self, instance: InstanceId) -> None:
        """Refuse new calls, let running ones finish for drain_s, cancel the rest, leave the lifespan.

        Raises what leaving the lifespan raised. When cancelled, the instance is cancelled too and its exit awaited.
        """
        hosted = self._hosted(instance)
        hosted.running.stop()
        try:
            await hosted.gone.wait()
        except trio.Cancelled:
            hosted.scope.cancel()
            raise
        if hosted.error is not None:
            raise hosted.error

    async def unload(self, instance: InstanceId) -> None:
        """Make sure that nothing of the instance is left; an unknown one is fine: it failed before it ran."""
        hosted = self._instances.get(instance)
        if hosted is not None:
            hosted.running.stop()
            hosted.scope.cancel()
            await hosted.gone.wait()
        used = {other.artifact for other in self._instances.values()}
        for artifact in [artifact for artifact in self._loaded if artifact not in used]:
            del self._loaded[artifact]

    async def drain(self) -> None:
        """Stop every instance, all at once; returns when the last one is gone."""
        all_of_them = list(self._instances.values())
        for hosted in all_of_them:
            hosted.running.stop()
        for hosted in all_of_them:
            await hosted.gone.wait()

    async def _live(
        self,
        instance: InstanceId,
        hosted: _Hosted,
        *,
        task_status: trio.TaskStatus[Exception | None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """One instance from start to end; an error before it serves goes to `activate`, a later one is reported."""
        started = _Started(self._instances, instance, hosted, task_status)
        try:
            with hosted.scope:
                await hosted.running.live(task_status=started)
        except Exception as error:  # noqa: BLE001 - user code; every error is handed on below
            hosted.error = _leaf(error)
        except BaseExceptionGroup as group:
            cancelled, rest = group.split(trio.Cancelled)
            if cancelled is None or (rest is not None and rest.split(Exception)[1] is not None):
                raise
            hosted.error = None if rest is None else _leaf(rest)
            raise cancelled from None
        finally:
            self._instances.pop(instance, None)
            hosted.gone.set()
        if not started.reached:
            task_status.started(hosted.error or RuntimeError("the lifespan ended without serving"))
        elif hosted.error is not None and not hosted.running.stopping:
            assert self._sources is not None
            self._sources.reports.instance_crashed(instance, hosted.error)

    def _built_in(self, invoker: Invoker) -> dict[str, Host]:
        def backend(name: str, fence: Fence | None) -> ReplicatedBackend:
            return ReplicatedBackend(self._kv, name, fence)

        here = InProcess(invoker, backend, self._work, self._middleware)
        apart = Chained(WorkerProcesses(invoker, backend), self._middleware)
        return {IN_PROCESS: here, WORKER: apart if self._worker_processes else here}

    def _contract(self, artifact: Artifact) -> AnySlice:
        contract = self._loaded.get(artifact)
        if contract is None:
            raise NotFound("loaded slice", str(artifact), "load it before activating it")
        return contract

    def _hosted(self, instance: InstanceId) -> _Hosted:
        hosted = self._instances.get(instance)
        if hosted is None:
            raise NotFound("running instance", instance)
        return hosted


class _Hosted:
    """One instance and the task that runs it."""

    def __init__(self, artifact: Artifact, running: Living, drain_s: float) -> None:
        self.artifact = artifact
        self.drain_s = drain_s
        self.running = running
        self.scope = trio.CancelScope()
        self.gone = trio.Event()
        self.error: Exception | None = None
        self.asked = 0


class _Started:
    """The task status given to `live`: once it serves, it can be found."""

    def __init__(
        self,
        instances: dict[InstanceId, _Hosted],
        instance: InstanceId,
        hosted: _Hosted,
        outer: trio.TaskStatus[Exception | None],
    ) -> None:
        self._instances = instances
        self._instance = instance
        self._hosted = hosted
        self._outer = outer
        self.reached = False

    def started(self, value: None = None) -> None:
        self.reached = True
        self._instances[self._instance] = self._hosted
        self._outer.started(None)


def _leaf(error: BaseException) -> Exception:
    leaf = leaving(error)
    return leaf if isinstance(leaf, Exception) else RuntimeError(text_of(error))
