"""The root command and how every command ends.

Knows: which commands exist, and where each lives (imported when it is called, so that `aether --help` is quick).
Never: what a command does.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from aether.cli.exits import CommandFailed, Exit, exit_for
from aether.cli.options import shared

COMMANDS: Mapping[str, tuple[str, str]] = {  # name -> (module:attribute, help line)
    "node": ("aether.cli.node_command:node", "Run one node of a cluster in this process."),
    "dev": ("aether.cli.dev_command:dev", "Run your own module as a cluster of processes on this machine."),
    "demo": ("aether.cli.demo_command:demo", "Take orders on three nodes, kill one, and audit the survivors."),
    "sim": ("aether.cli.sim_command:sim", "Simulate consensus under faults, each cluster from one seed."),
    "status": ("aether.cli.look_commands:status", "Who this node is and who leads."),
    "health": ("aether.cli.look_commands:health", "Quorum, peers and slices, judged honestly."),
    "nodes": ("aether.cli.duty_commands:nodes", "The members of the cluster; drain, activate, shut one down."),
    "members": ("aether.cli.member_commands:members", "Who belongs to the group and votes; add, remove, promote."),
    "slices": ("aether.cli.slices_commands:slices", "Every instance with its state; where code comes from."),
    "routes": ("aether.cli.look_commands:routes", "The HTTP routes of deployed slices."),
    "contract": ("aether.cli.contract_commands:contract", "Contracts of running slices; export one as Python or JSON."),
    "diff": ("aether.cli.contract_commands:diff", "What changes between two versions of a contract."),
    "deploy": ("aether.cli.change_commands:deploy", "Deploy one slice."),
    "scale": ("aether.cli.change_commands:scale", "Change how many instances of a slice run."),
    "undeploy": ("aether.cli.change_commands:undeploy", "Remove one slice from the cluster."),
    "place": ("aether.cli.placement_commands:place", "Order an instance on a node, where nothing else places any."),
    "unplace": ("aether.cli.placement_commands:unplace", "Take the order for an instance back."),
    "placements": ("aether.cli.placement_commands:placements", "Where instances were ordered."),
    "rollout": ("aether.cli.rollout_commands:rollout", "Update a slice to another version, step by step."),
    "update": ("aether.cli.rollout_commands:update", "The same in the original's spelling, traffic by hand."),
    "kv": ("aether.cli.kv_commands:kv", "Read, write and watch rows of the replicated store."),
    "backup": ("aether.cli.disaster_commands:backup", "Save the state of a working cluster to a file."),
    "restore": ("aether.cli.disaster_commands:restore", "Make a new cluster that begins with a backup."),
    "recover": ("aether.cli.disaster_commands:recover", "Make a new cluster out of one survivor of a lost majority."),
    "wal": ("aether.cli.wal_commands:wal", "Look into the data directory of a stopped node."),
    "blueprint": ("aether.cli.blueprint_commands:blueprint", "Plan, apply and look at blueprints; go back."),
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is called or its own help is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], list(COMMANDS), n=1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from error


def version() -> str:
    try:
        return importlib.metadata.version("aether-runtime")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "AETHER"})
@click.version_option(version(), "-V", "--version", prog_name="aether", message="aether %(version)s")
@shared
def aether(**_: Any) -> None:
    """Turn one process, or many, into a cluster.

    Options may stand before or after the command. Exit codes: 0 ok, 1 failed, 2 usage, 3 cannot connect, 4 refused by
    policy, 5 timed out.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; its exit code."""
    try:
        result = aether.main(args=arguments, prog_name="aether", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return int(Exit.USAGE)
    except click.Abort:
        return int(Exit.INTERRUPTED)
    except BaseException as error:
        ending = exit_for(error)
        if ending is None:
            raise
        return _say(ending)
    if not _flush():
        return int(Exit.FAILED)
    return result if isinstance(result, int) else int(Exit.OK)


def _flush() -> bool:
    """Write what is left to the standard output. False when nobody reads it any more: no word about that at exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _say(ending: CommandFailed) -> int:
    _flush()
    if ending.message:
        click.echo(f"aether: {ending.message}", err=True)
    if ending.hint:
        click.echo(f"  {ending.hint}", err=True)
    return int(ending.code)
