"""``holdall completion``: the shell learns commands, options, and the names of what the driver has."""

import asyncio

import click
from click.shell_completion import get_completion_class

from ..model import errors, ids
from . import names
from .config import ENDPOINT

PATIENCE = 0.7
"""Seconds a shell may wait for names."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete holdall's commands; put it into the shell's start-up file as

    \b
      eval "$(holdall completion bash)"      in ~/.bashrc
      eval "$(holdall completion zsh)"       in ~/.zshrc
      holdall completion fish | source       in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells of the choice above"
    print(kind(ctx.find_root().command, {}, "holdall", "_HOLDALL_COMPLETE").source())


def known(letter: str, endpoint: str) -> list[str]:
    """Names of what the driver has; none when it does not answer at once."""
    from .session import Session

    async def ask() -> list[str]:
        async with Session(endpoint or ENDPOINT) as session:
            if letter == ids.VOLUME:
                return [entry.volume.volume_id for entry in await session.volumes()]
            if letter == ids.SNAPSHOT:
                return [one.snapshot_id for one in await session.snapshots()]
            return await session.group_ids()

    try:
        return [names.readable(one) for one in asyncio.run(asyncio.wait_for(ask(), PATIENCE))]
    except (TimeoutError, errors.DomainError):
        return []
