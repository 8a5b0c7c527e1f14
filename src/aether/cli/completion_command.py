"""`aether completion`: the script that a shell reads at its start.

Knows: click's scripts; what bash does with colons.
Never: the values (completion.py).
"""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

SHELLS: Final = ("bash", "zsh", "fish")
VARIABLE: Final = "_AETHER_COMPLETE"
_WHOLE_ARTIFACTS: Final = "COMP_WORDBREAKS=${COMP_WORDBREAKS//:}  # group:artifact:version is one word\n"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, /, shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, and what a reachable node knows.

    For this session: eval "$(aether completion bash)"; for good, the same line in ~/.bashrc or ~/.zshrc. Fish: aether
    completion fish > ~/.config/fish/completions/aether.fish
    """
    found = get_completion_class(shell)
    assert found is not None, shell
    root = context.find_root().command
    source = found(root, {}, "aether", VARIABLE).source()
    click.echo(f"{_WHOLE_ARTIFACTS if shell == 'bash' else ''}{source}", nl=False)
