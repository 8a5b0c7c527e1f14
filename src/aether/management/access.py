"""Who may ask what over loopback.

Knows: Host names, Origin, content types of mutations, the local admin token.
Never: where the token is kept (room node), sessions, users.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class AccessRules:
    """token     admin token of this node; "" = nobody may change anything unless `insecure`
    insecure  mutations need no token
    hosts     names that a Host field may carry besides localhost, 127.0.0.1 and [::1]: the advertised one
    """

    token: str = ""
    insecure: bool = False
    hosts: frozenset[str] = frozenset()
