"""holdall.v1 over a fleet: what all nodes say, together."""

import asyncio
from collections.abc import AsyncIterator

from csi.holdall.v1 import holdall_pb2 as pb
from csi.holdall.v1 import holdall_pb2_grpc as stubs

from ...fleet import views
from ...fleet.fleet import Fleet
from ...fleet.following import Follower
from ...fleet.member import Member
from ...model import errors
from .. import convert
from ..holdall import pool
from ..identity import version
from ..interceptor import Context
from .peer import READ, Peer, metadata, passing


class Holdall(stubs.HoldallServicer):
    def __init__(self, fleet: Fleet[Peer], driver_name: str, follower: Follower | None = None) -> None:
        """``follower`` moves what the cluster says of volumes after a pool that moved; None without a cluster."""
        self._fleet = fleet
        self._driver_name = driver_name
        self._follower = follower

    async def ListPools(self, request: pb.ListPoolsRequest, context: Context) -> pb.ListPoolsResponse:
        """A lost node's pools are shown as they were, and as unreachable."""
        await self._fleet.roster.look_at_all()
        return pb.ListPoolsResponse(pools=[pool(view) for _, view in views.pools(self._fleet.roster)])

    async def AdoptPool(self, request: pb.AdoptPoolRequest, context: Context) -> pb.AdoptPoolResponse:
        members = self._fleet.roster.all()
        if len(members) != 1:
            raise errors.FailedPrecondition(
                f"{request.path} is a path of one node; ask that node itself, one of: "
                + (", ".join(member.name for member in members) or "none is configured")
            )
        return await passing(lambda node: node.holdall.AdoptPool, request)(members[0].node, "")

    async def ForgetPool(self, request: pb.ForgetPoolRequest, context: Context) -> pb.ForgetPoolResponse:
        found = await self._fleet.forgetting.forget(convert.required(request.pool_id, "pool_id"))
        return pb.ForgetPoolResponse(name=found.name, node=found.node)

    async def RememberPool(self, request: pb.RememberPoolRequest, context: Context) -> pb.RememberPoolResponse:
        await self._fleet.forgetting.remember(convert.required(request.pool_id, "pool_id"))
        return pb.RememberPoolResponse()

    async def FollowPool(self, request: pb.FollowPoolRequest, context: Context) -> AsyncIterator[pb.FollowedVolume]:
        pool_id = convert.required(request.pool_id, "pool_id")
        if self._follower is None:
            raise errors.Unsupported(
                f"pool {pool_id} is found wherever it is; only in a Kubernetes cluster is there anything to follow it"
            )
        async for one in self._follower.follow(pool_id):
            yield pb.FollowedVolume(
                persistent_volume=one.persistent_volume,
                claim=one.claim,
                volume_id=one.volume_id,
                outcome=one.outcome,
                message=one.message,
            )

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        """Those of the nodes that answer: of one that does not, nobody can say what it is doing."""
        found = await asyncio.gather(*(self._tasks(member, request) for member in self._living()))
        tasks = [task for part in found for task in part]
        return pb.ListTasksResponse(tasks=sorted(tasks, key=lambda task: task.started_at, reverse=True))

    async def WatchTask(self, request: pb.WatchTaskRequest, context: Context) -> AsyncIterator[pb.Task]:
        task_id = convert.required(request.id, "id")
        for member in self._living():
            if any(task.id == task_id for task in await self._tasks(member, pb.ListTasksRequest(all=True))):
                client = member.node.client
                async for task in client.stream(client.holdall.WatchTask, request, metadata=metadata("")):
                    yield task
                return
        raise errors.NotFound(f"task {task_id} does not exist on any node that answers")

    async def Doctor(self, request: pb.DoctorRequest, context: Context) -> AsyncIterator[pb.Finding]:
        await self._fleet.roster.look_at_all()
        for member in self._fleet.roster.all():
            if not member.alive:
                yield _lost(member)
                continue
            client = member.node.client
            async for finding in client.stream(client.holdall.Doctor, request, metadata=metadata("")):
                yield finding

    async def GetNode(self, request: pb.GetNodeRequest, context: Context) -> pb.GetNodeResponse:
        """The controller itself, which is no node, with the mounts of all nodes that answer."""
        found = await asyncio.gather(*(_mounts(member) for member in self._living()))
        return pb.GetNodeResponse(
            version=version(),
            driver_name=self._driver_name,
            mounts=[mount for part in found for mount in part],
        )

    def _living(self) -> list[Member[Peer]]:
        return [member for member in self._fleet.roster.all() if member.alive]

    async def _tasks(self, member: Member[Peer], request: pb.ListTasksRequest) -> list[pb.Task]:
        client = member.node.client
        try:
            return list((await client.ask(client.holdall.ListTasks, request, timeout=READ)).tasks)
        except errors.Unavailable:
            return []


async def _mounts(member: Member[Peer]) -> list[pb.Mount]:
    client = member.node.client
    try:
        return list((await client.ask(client.holdall.GetNode, pb.GetNodeRequest(), timeout=READ)).mounts)
    except errors.Unavailable:
        return []


def _lost(member: Member[Peer]) -> pb.Finding:
    return pb.Finding(
        subject=member.name,
        kind="NodeLost",
        severity="error",
        explanation=member.lost().message,
        remedy=f"start holdall node on {member.name}, or take it out of the controller's configuration",
    )
