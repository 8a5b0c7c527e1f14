"""Whether the nodes of this container may be sent requests: exit code 0, or 1 and a line that says what is missing.

It asks /health/ready of each management port that a node in here has published, as tools on the same machine find it;
with TLS when that node speaks it. The standard library alone: it runs every few seconds.
"""

import http.client
import json
import os
import ssl
import sys
from pathlib import Path

ANSWER_S = 3.0


def published() -> "list[tuple[str, int, Path | None]]":
    """Host, port and, with TLS, the authorities of each node."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    found = []
    for pointer in sorted(Path(state, "aether", "tokens").glob("*_*")):
        host, _, port = pointer.name.rpartition("_")
        if port.isdecimal():
            beside = pointer.with_name(pointer.name + ".ca")
            found.append(
                (host.replace("_", ":"), int(port), Path(beside.read_text().strip()) if beside.exists() else None)
            )
    return found


def problem(host: str, port: int, authorities: "Path | None") -> str:
    """What keeps this node from being ready; "" = nothing."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S)
    try:
        if authorities is not None:
            context = ssl.create_default_context(cafile=str(authorities))
            connection = http.client.HTTPSConnection(host, port, timeout=ANSWER_S, context=context)
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        body = answer.read(65536)
    except OSError as error:
        return f"{host}:{port}: {error}"
    except http.client.HTTPException as error:
        return f"{host}:{port}: {type(error).__name__} {error}"
    finally:
        connection.close()
    return "" if answer.status == 200 else f"{host}:{port}: {answer.status} {detail(body)}"


def detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return ""


def main() -> int:
    nodes = published()
    problems = [text for node in nodes if (text := problem(*node))]
    if not nodes:
        problems = ["no node has opened its management port yet"]
    print("; ".join(problems) or "ready")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
