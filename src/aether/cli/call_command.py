"""`aether call`: one call of a slice's method from the command line.

Knows: where arguments may come from, how an outcome is shown.
Never: what a method takes (the slice says what does not fit).
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final, cast

import click

from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import settings, shared
from aether.model.limits import CALL_DEADLINE_S

ARGUMENT_BYTES_MAX: Final = 1024 * 1024
_EXAMPLE: Final = """in quotes, such as '{"sku": "a"}'"""


@click.command()
@click.argument("target", metavar="SLICE.METHOD")
@click.argument("arguments", metavar="[JSON]", default="{}")
@click.option("--deadline", type=float, default=CALL_DEADLINE_S, show_default=True, help="Seconds it may take.")
@click.option("--key", default="", help="Idempotency key: repeats with it do not run again.")
@shared
@click.pass_context
def call(context: click.Context, /, target: str, arguments: str, deadline: float, key: str, **_: Any) -> None:
    """Call METHOD of SLICE, and print its result as JSON.

    SLICE is the name of a class, or group:artifact. JSON is an object, parameter to value, such as '{"sku": "a"}'; `-`
    reads it from the standard input. Exit 1 when the method raises a Fault, which is printed then.
    """
    name, dot, method = target.rpartition(".")
    if not dot or not name or not method:
        raise CommandFailed(Exit.USAGE, f"{target}: write SLICE.METHOD, such as Orders.place")
    body = {
        "slice": name,
        "method": method,
        "arguments": _arguments(arguments),
        "deadlineSeconds": deadline,
        **({"key": key} if key else {}),
    }
    here = settings(context)
    answer = Connection(here).post("/call", body, answer_s=deadline)
    if answer["outcome"] == "fault":
        raise CommandFailed(Exit.FAILED, _fault(answer["fault"]))
    shown = answer if here.output == "json" else answer["result"]
    click.echo(json.dumps(shown, ensure_ascii=False, indent=None if here.output == "jsonl" else 2))


def _arguments(text: str) -> Any:
    if text == "-":
        raw = sys.stdin.buffer.read(ARGUMENT_BYTES_MAX + 1)
        if len(raw) > ARGUMENT_BYTES_MAX:
            raise CommandFailed(Exit.USAGE, f"the standard input has more than {ARGUMENT_BYTES_MAX} bytes")
        text = raw.decode(errors="replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandFailed(Exit.USAGE, f"the arguments are no JSON: {error}", _EXAMPLE) from error
    if not isinstance(value, dict):
        raise CommandFailed(Exit.USAGE, "the arguments are an object, parameter to value", _EXAMPLE)
    return cast("dict[str, Any]", value)


def _fault(fault: Any) -> str:
    lines = [f"{fault['name']} ({fault['status']}): {fault['detail'] or fault['title']}"]
    lines += [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in sorted(fault["fields"].items())]
    return "\n  ".join(lines)
