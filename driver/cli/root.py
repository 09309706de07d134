"""``holdall`` and its commands: each one's module is imported when it is asked for, so that no other pays for it."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

COMMANDS = {
    "all": ("roles", "all_", "Serve everything in this one process."),
    "controller": ("roles", "controller", "Serve as a router to nodes."),
    "node": ("roles", "node", "Serve this machine's pools and mounts."),
    "demo": ("demo", "demo", "Show what Holdall does, for real, in half a minute."),
    "pool": ("pools", "pool", "Where volumes come from."),
    "volume": ("volumes", "volume", "Make, change and delete volumes."),
    "snapshot": ("snapshots", "snapshot", "Points in time of volumes."),
    "group": ("groups", "group", "Snapshots of several volumes at one moment."),
    "mount": ("mounting", "mount", "Mount a volume."),
    "umount": ("mounting", "umount", "Unmount a volume."),
    "stats": ("stats", "stats", "How full a mounted volume is."),
    "task": ("tasks", "task", "Work that goes on in the background."),
    "doctor": ("doctor", "doctor", "Compare the records with what is really there."),
    "completion": ("completion", "completion", "Completion for a shell."),
    "version": ("about", "version", "The version of this program, and of the driver that answers."),
}
"""Module, function and one line of help of each command."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"driver.cli.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, _, words) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def holdall() -> None:
    """Holdall turns every store a cluster has into volumes.

    `holdall demo` shows it at work. `holdall all` serves CSI on this machine, with a pool of its own and without any
    configuration. The other commands talk to a Holdall that is serving.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The process's whole life; ends it with 0, with 1 for a failure or with 2 for wrong use."""
    try:
        code = holdall.main(arguments, prog_name="holdall", standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
        print("holdall: interrupted", file=sys.stderr)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except BrokenPipeError:
        # The reader (head, less) has seen enough; the flush at the interpreter's end would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
