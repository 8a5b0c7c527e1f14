"""The root command and how every command ends.

Knows: which commands exist, and where each lives (imported when it is called, so that `aether --help` is quick).
Never: what a command does.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from aether.cli.completion import with_values
from aether.cli.exits import CommandFailed, Exit, exit_for
from aether.cli.options import shared

COMMANDS: Mapping[str, tuple[str, str]] = {  # name -> (module:attribute, help line)
    "node": ("aether.cli.node_command:node", "Run one node of a cluster in this process."),
    "config": ("aether.cli.config_commands:config", "The settings of a node, and where each came from."),
    "generate": ("aether.cli.generate_commands:generate", "Files that run a cluster in containers, under systemd."),
    "dev": ("aether.cli.dev_command:dev", "Run your own module as a cluster of processes on this machine."),
    "demo": ("aether.cli.demo_command:demo", "Take orders on three nodes, kill one, and audit the survivors."),
    "sim": ("aether.cli.sim_command:sim", "Simulate consensus under faults, each cluster from one seed."),
    "status": ("aether.cli.look_commands:status", "Who this node is and who leads."),
    "health": ("aether.cli.look_commands:health", "Quorum, peers and slices, judged honestly."),
    "nodes": ("aether.cli.duty_commands:nodes", "The members of the cluster; drain, activate, shut one down."),
    "members": ("aether.cli.member_commands:members", "Who belongs to the group and votes; add, remove, promote."),
    "metrics": ("aether.cli.metrics_commands:metrics", "How the nodes are doing, now and in the last two hours."),
    "slices": ("aether.cli.slices_commands:slices", "Every instance with its state; where code comes from."),
    "routes": ("aether.cli.look_commands:routes", "The HTTP routes of deployed slices."),
    "contract": ("aether.cli.contract_commands:contract", "Contracts of running slices; export one as Python or JSON."),
    "diff": ("aether.cli.contract_commands:diff", "What changes between two versions of a contract."),
    "deploy": ("aether.cli.change_commands:deploy", "Deploy one slice."),
    "scale": ("aether.cli.change_commands:scale", "Change how many instances of a slice run."),
    "undeploy": ("aether.cli.change_commands:undeploy", "Remove one slice from the cluster."),
    "call": ("aether.cli.call_command:call", "Call one method of a slice, with arguments as JSON."),
    "traces": ("aether.cli.trace_commands:traces", "The last calls; where the time of one request went."),
    "place": ("aether.cli.placement_commands:place", "Order an instance on a node, where nothing else places any."),
    "unplace": ("aether.cli.placement_commands:unplace", "Take the order for an instance back."),
    "placements": ("aether.cli.placement_commands:placements", "Where instances were ordered."),
    "rollout": ("aether.cli.rollout_commands:rollout", "Update a slice to another version, step by step."),
    "update": ("aether.cli.rollout_commands:update", "The same in the original's spelling, traffic by hand."),
    "invocation-metrics": (
        "aether.cli.call_commands:invocation_metrics",
        "How calls to slices go: counts, latencies, slow ones.",
    ),
    "kv": ("aether.cli.kv_commands:kv", "Read, write and watch rows of the replicated store."),
    "backup": ("aether.cli.disaster_commands:backup", "Save the state of a working cluster to a file."),
    "restore": ("aether.cli.disaster_commands:restore", "Make a new cluster that begins with a backup."),
    "recover": ("aether.cli.disaster_commands:recover", "Make a new cluster out of one survivor of a lost majority."),
    "wal": ("aether.cli.wal_commands:wal", "Look into the data directory of a stopped node."),
    "ca": ("aether.cli.ca_commands:ca", "The authority of a cluster: certificates, join tokens."),
    "events": ("aether.cli.event_commands:events", "What happened in the cluster; follow what happens."),
    "alerts": ("aether.cli.alert_commands:alerts", "Figures that stand too high; who is told of them."),
    "thresholds": ("aether.cli.alert_commands:thresholds", "From when on a figure is worth an alert."),
    "token": ("aether.cli.token_commands:token", "Tokens of the admin API: create, list, revoke."),
    "audit": ("aether.cli.token_commands:audit", "Who changed what, and what was refused."),
    "top": ("aether.cli.top_command:top", "Nodes and busiest methods, live."),
    "artifact": ("aether.cli.artifact_commands:artifact", "The artifact repository: deploy, list, versions."),
    "doctor": ("aether.cli.doctor_command:doctor", "Check this machine and the cluster; say what to do."),
    "completion": ("aether.cli.completion_command:completion", "Print what lets a shell complete command lines."),
    "repl": ("aether.cli.repl_command:repl", "Type commands one after the other; also `aether` alone."),
    "controller": ("aether.cli.controller_commands:controller", "How counts are decided: rules, journal, replay."),
    "explain": ("aether.cli.controller_commands:explain", "Why a slice has so many instances."),
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
        return with_values(command)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and options, from the table: importing every command would take a reader's patience."""
        names = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *(click.Command.shell_complete(self, ctx, incomplete) if incomplete.startswith("-") else ())]

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


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "AETHER"},
    invoke_without_command=True,
    no_args_is_help=False,
)
@click.version_option(version(), "-V", "--version", prog_name="aether", message="aether %(version)s")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    allow_from_autoenv=False,
    help="Ask the node on this machine that this aether.toml configures.",
)
@shared
@click.pass_context
def aether(context: click.Context, /, **_: Any) -> None:
    """Turn one process, or many, into a cluster.

    Options may stand before or after the command. Without a command, on a terminal, it takes one after the other.
    Exit codes: 0 ok, 1 failed, 2 usage, 3 cannot connect, 4 refused by policy, 5 timed out, 130 interrupted.
    """
    if context.invoked_subcommand is not None:
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        from aether.cli.repl_command import talk

        talk(context)
    else:
        click.echo(context.get_help(), err=True)
        context.exit(Exit.USAGE)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    if os.getpid() == 1:  # of a container: the kernel keeps from process 1 what it does not handle
        signal.signal(signal.SIGTERM, _ended)
    sys.exit(run(arguments))


def _ended(number: int, _: object) -> NoReturn:
    """SIGTERM before a command hears signals itself, or where it never does."""
    raise SystemExit(128 + number)


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
