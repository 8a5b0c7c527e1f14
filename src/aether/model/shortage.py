"""What the kernel says when this process, or the machine, has no room for one more open file.

Knows: numbers of errors.
Never: what is done about it.
"""

from __future__ import annotations

import errno
from typing import Final

OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Of `accept`: it passes, and the listening socket is as good as before."""
