"""Whether a node has certificates, and the extra that they need.

Knows: the setting, the name of the extra.
Never: certificates: what reads them is imported only by nodes that have some.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aether.errors import BadInput
from aether.node.config import NodeConfig
from aether.work import Work

if TYPE_CHECKING:
    from aether.node.certification import Certification

EXTRA = "TLS needs the library `cryptography`"
INSTALL = "pip install 'cryptography>=44'"


def certification(config: NodeConfig, wall: Callable[[], float]) -> Certification | None:
    """That of a node with `--tls`, else None. Reads files at once. Raises BadInput."""
    if config.tls is None:
        return None
    try:
        from aether.node.certification import Certification
    except ImportError as error:
        raise BadInput(EXTRA, (INSTALL,)) from error
    return Certification(config, wall)


async def first_certificate(config: NodeConfig, work: Work, wall: Callable[[], float]) -> None:
    """Get the certificate of a node with `--tls` that has none yet. Raises BadInput."""
    if config.tls is None:
        return
    try:
        from aether.node.first_certificate import ensure_certificate
    except ImportError as error:
        raise BadInput(EXTRA, (INSTALL,)) from error
    await ensure_certificate(config, work, wall)
