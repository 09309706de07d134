"""The command; what it performs is imported when it does."""

import os

import click


@click.command()
def demo() -> int:
    """Show what Holdall does, for real: volumes made, mounted, written, snapshotted, damaged, restored, cloned, grown,
    measured and deleted through CSI gRPC, each claim checked.

    Needs root, takes about half a minute, and leaves nothing behind. Exit code 1 when a check fails.
    """
    if os.geteuid() != 0:
        raise click.UsageError(
            "the demonstration attaches devices and mounts file systems, so it has to be run by root"
        )
    from .performance import perform

    return perform()
