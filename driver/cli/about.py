"""``holdall version``: of this program, and of the driver that answers."""

import importlib.metadata

import click

from csi.holdall.v1 import holdall_pb2 as holdall

from ..model import errors
from .session import Session, talks
from .show import Column, Show

_COLUMNS = (
    Column("version", "holdall"),
    Column("driver_version", "driver"),
    Column("driver_name", "its name"),
    Column("node_id", "its node"),
)


@click.command()
@talks
async def version(session: Session, show: Show) -> None:
    """The version of this program, and of the driver if one answers."""
    found = {"version": importlib.metadata.version("holdall"), "driver_version": "", "driver_name": "", "node_id": ""}
    try:
        node = await session.ask(session.holdall.GetNode, holdall.GetNodeRequest(), timeout=2.0)
    except errors.DomainError as error:
        show.item(found, _COLUMNS)
        show.note(error.message)
        return
    found |= {"driver_version": node.version, "driver_name": node.driver_name, "node_id": node.node_id}
    show.item(found, _COLUMNS)
