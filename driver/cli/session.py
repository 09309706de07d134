"""A command's talk with a running Holdall: connected, with errors as sentences, and closed again."""

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import click

from csi.holdall.v1 import holdall_pb2 as holdall
from csi.v1 import csi_pb2 as csi

from ..model import errors, ids
from ..rpc.client import Client
from . import names
from .config import ENDPOINT
from .show import Show

Body = Callable[..., Awaitable[int | None]]
PAGE = 2000


def talks(body: Body) -> Callable[..., int]:
    """A command whose body is given a Session and a Show before its own arguments; adds ``--endpoint`` and ``--json``.

    What the driver refuses is one sentence on stderr and exit code 1; else the exit code is what the body returns.
    """

    @click.option("--endpoint", envvar="CSI_ENDPOINT", default=ENDPOINT, show_default=True, help="The driver's socket.")
    @click.option("--json", "as_json", is_flag=True, help="For programs: JSON with stable keys.")
    @functools.wraps(body)
    def run(endpoint: str, as_json: bool, **arguments: Any) -> int:
        return asyncio.run(_run(body, endpoint, Show(as_json=as_json), arguments))

    return run


async def _run(body: Body, endpoint: str, show: Show, arguments: dict[str, Any]) -> int:
    node_endpoint = arguments.pop("node_endpoint", "")
    try:
        async with Session(endpoint, node_endpoint) as session:
            return await body(session, show, **arguments) or 0
    except errors.DomainError as error:
        print(f"holdall: {error.message}", file=sys.stderr)
        return 1


ON_NODE = click.option(
    "--node-endpoint",
    envvar="HOLDALL_NODE_ENDPOINT",
    default="",
    help="The node's socket, where the driver is a controller and a node.  [--endpoint]",
)


class Session(Client):
    """A client that also knows what people call things, and reads lists to their end."""

    def __init__(self, endpoint: str, node_endpoint: str = "") -> None:
        super().__init__(endpoint)
        self.mounter: Client = Client(node_endpoint) if node_endpoint else self
        """Where the Node service is."""

    async def close(self) -> None:
        if self.mounter is not self:
            await self.mounter.close()
        await super().close()

    async def pools(self) -> list[holdall.Pool]:
        """By name."""
        answer = await self.ask(self.holdall.ListPools, holdall.ListPoolsRequest())
        return list(answer.pools)

    async def pool(self, text: str) -> holdall.Pool:
        """The pool of that name or id (or its beginning). NotFound."""
        found = [one for one in await self.pools() if text in (one.name, one.id)]
        found = found or [one for one in await self.pools() if text and one.id.startswith(text)]
        if len(found) != 1:
            known = ", ".join(one.name for one in await self.pools()) or "none"
            raise errors.NotFound(f"there is no pool {text!r}; there are: {known}")
        return found[0]

    async def volumes(self) -> list[csi.ListVolumesResponse.Entry]:
        """All, in order of id."""
        entries: list[csi.ListVolumesResponse.Entry] = []
        token = ""
        while True:
            request = csi.ListVolumesRequest(max_entries=PAGE, starting_token=token)
            answer = await self.ask(self.controller.ListVolumes, request)
            entries += answer.entries
            token = answer.next_token
            if not token:
                return entries

    async def snapshots(self, source_id: str = "") -> list[csi.Snapshot]:
        """All, or those of one volume, in order of id."""
        found: list[csi.Snapshot] = []
        token = ""
        while True:
            request = csi.ListSnapshotsRequest(max_entries=PAGE, starting_token=token, source_volume_id=source_id)
            answer = await self.ask(self.controller.ListSnapshots, request)
            found += [entry.snapshot for entry in answer.entries]
            token = answer.next_token
            if not token:
                return found

    async def volume_id(self, text: str) -> str:
        """The volume a person means. A whole id is taken as it is, so that a node that lists nothing can be asked too."""
        if ids.is_kind(text, ids.VOLUME):
            return text
        for candidate in names.exact(ids.VOLUME, text, [pool.id for pool in await self.pools()]):
            try:
                await self.ask(self.controller.ControllerGetVolume, csi.ControllerGetVolumeRequest(volume_id=candidate))
                return candidate
            except errors.NotFound:
                continue
        return names.pick(ids.VOLUME, text, [entry.volume.volume_id for entry in await self.volumes()])

    async def snapshot_id(self, text: str) -> str:
        """The snapshot a person means."""
        if ids.is_kind(text, ids.SNAPSHOT):
            return text
        return names.pick(ids.SNAPSHOT, text, [one.snapshot_id for one in await self.snapshots()])

    async def group_ids(self) -> list[str]:
        """All group snapshots. CSI lists none, so they are found by their members."""
        return sorted({one.group_snapshot_id for one in await self.snapshots() if one.group_snapshot_id})

    async def group_id(self, text: str) -> str:
        """The group snapshot a person means."""
        if ids.is_kind(text, ids.GROUP):
            return text
        return names.pick(ids.GROUP, text, await self.group_ids())

    async def mount(self, volume_id: str) -> holdall.Mount | None:
        """Where the volume is in use on the node that is asked."""
        answer = await self.ask(self.holdall.GetNode, holdall.GetNodeRequest())
        return next((one for one in answer.mounts if one.volume_id == volume_id), None)
