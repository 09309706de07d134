"""``holdall pool``: where volumes come from."""

from pathlib import Path

import click

from csi.holdall.v1 import holdall_pb2 as holdall

from ..model import ids
from . import rows
from .session import Session, talks
from .show import Show

_OUTCOMES = {"moved": "is on the pool's node now", "there": "was on the pool's node already", "refused": "stays"}


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


@pool.command()
@click.argument("name", metavar="POOL")
@talks
async def forget(session: Session, show: Show, name: str) -> None:
    """Give a pool up whose node is gone for good.

    Deleting its volumes and snapshots succeeds from then on, and lists do not have them any more. If the pool turns up
    again it is not served; what is in it is left alone. Only a controller can; refused while the pool's node answers.
    """
    pool_id = await _id(session, name)
    answer = await session.ask(session.holdall.ForgetPool, holdall.ForgetPoolRequest(pool_id=pool_id))
    show.done(
        {"id": pool_id, "name": answer.name, "node": answer.node},
        f"Pool {answer.name} ({pool_id}) of node {answer.node} is given up: what lay in it counts as deleted. "
        f"holdall pool remember {pool_id} undoes that.",
    )


@pool.command()
@click.argument("pool_id", metavar="POOL_ID")
@talks
async def remember(session: Session, show: Show, pool_id: str) -> None:
    """Take `holdall pool forget` back: the pool is served again, wherever it is."""
    await session.ask(session.holdall.RememberPool, holdall.RememberPoolRequest(pool_id=pool_id))
    show.done({"id": pool_id}, f"Pool {pool_id} is served again as soon as a node has it.")


@pool.command()
@click.argument("name", metavar="POOL")
@talks
async def follow(session: Session, show: Show, name: str) -> int:
    """Move the PersistentVolumes of a pool after it, when it turned up on another node of the cluster.

    Each is made anew for the node that has the pool now, with the same volume and claim; one that a pod uses is refused.
    Repeating it finishes what was interrupted. The exit code is 1 when any was refused.
    """
    request = holdall.FollowPoolRequest(pool_id=await _id(session, name))
    outcomes = []
    async for one in session.stream(session.holdall.FollowPool, request):
        outcomes.append(one.outcome)
        claim = f" of claim {one.claim}" if one.claim else ""
        why = f": {one.message}" if one.message else ""
        show.line(rows.followed(one), f"{one.persistent_volume}{claim}: {_OUTCOMES.get(one.outcome, one.outcome)}{why}")
    if not outcomes:
        show.note("The pool has no PersistentVolumes.")
    return int("refused" in outcomes)


async def _id(session: Session, text: str) -> str:
    """The id of the pool a person means. A whole id is taken as it is: a pool that was given up is in no list."""
    return text if ids.POOL.fullmatch(text) else (await session.pool(text)).id
