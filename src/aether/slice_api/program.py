"""Where the class of a slice is found by another interpreter.

Knows: names of a module and a class in it, the search path that goes with them.
Never: imports; processes.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Program:
    """Where a class is found.

    module, qualname  of the class; file  to load the module from where it cannot be imported by its name, "" = nowhere
    path              what `sys.path` is in the worker. Another version of a slice has another path, and nothing else
    """

    module: str
    qualname: str
    file: str = ""
    path: tuple[str, ...] = ()
