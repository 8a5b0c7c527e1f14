"""Worker processes as a place where instances live.

Knows: what each worker is given of the node: its Invoker, its maps, its search path.
Never: the life of one process (worker_instance).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from aether.errors import ContractError
from aether.hosting.hosts import Backends, Birth
from aether.hosting.worker_instance import WorkerInstance
from aether.hosting.worker_link import Mail
from aether.hosting.worker_outward import Outward
from aether.hosting.worker_process import can_watch_memory
from aether.hosting.worker_program import program_of
from aether.hosting.worker_streams import NodeStreams, Send
from aether.invocation.service import Invoker
from aether.slice_api.described import DescribedSlice
from aether.slice_api.program import Program


@attrs.frozen
class WorkerProcesses:
    """Each instance in an interpreter of its own.

    invoker, backend  carry out what the instances ask for; program  where a class is found
    """

    invoker: Invoker
    backend: Backends
    program: Callable[[type], Program] = program_of

    def instance(self, birth: Birth) -> WorkerInstance:
        """As Host promises. Raises ContractError for a class that another process cannot import."""
        if birth.memory_mb is not None and not can_watch_memory():
            raise ContractError("memory_mb needs /proc, which this system has not; leave it out")
        known = birth.contract
        program = known.program if isinstance(known, DescribedSlice) else self.program(known.cls)
        return WorkerInstance(birth, program, self._outward, self._streams)

    def _outward(self, birth: Birth, mail: Mail) -> Outward:
        return Outward(self.invoker, lambda name: self.backend(name, birth.fence), birth.given, mail)

    def _streams(self, birth: Birth, send: Send) -> NodeStreams:
        return NodeStreams(self.invoker, birth, send)
