"""``holdall pool``: where volumes come from."""

from pathlib import Path

import click

from csi.holdall.v1 import holdall_pb2 as holdall

from . import rows
from .session import Session, talks
from .show import Show


@click.group()
def pool() -> None:
    """Where volumes come from."""


@pool.command("list")
@talks
async def list_(session: Session, show: Show) -> None:
    """All pools, with their room."""
    found = [rows.pool(one) for one in await session.pools()]
    show.table(found, rows.POOL, "There are no pools.")


@pool.command("show")
@click.argument("name", metavar="POOL")
@talks
async def show_(session: Session, show: Show, name: str) -> None:
    """One pool: what it has, what it can, what is wrong with it."""
    show.item(rows.pool(await session.pool(name)), rows.POOL_WHOLE)


@pool.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--backend", default="", help="The kind of pool it was made as.")
@click.option("--name", default="", help="Its name from now on.  [the directory's name]")
@talks
async def adopt(session: Session, show: Show, path: Path, backend: str, name: str) -> None:
    """Take a pool that another Holdall made into use, with all its volumes and snapshots.

    PATH is the pool's directory on the driver's machine. It is opened at every start from now on.
    """
    request = holdall.AdoptPoolRequest(path=str(path.absolute()), backend=backend, name=name)
    answer = await session.ask(session.holdall.AdoptPool, request)
    adopted = rows.pool(answer.pool)
    show.done(
        adopted,
        f"Pool {adopted['name']} is in use, with {adopted['volumes']} volumes and {adopted['snapshots']} snapshots.",
    )
