"""holdall.v1 for the pools of this process: what CSI has no words for."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from csi.holdall.v1 import holdall_pb2 as pb
from csi.holdall.v1 import holdall_pb2_grpc as stubs

from ..model import errors
from ..model.health import STATUSES, Ailment, Status
from ..model.pool import PoolView
from ..model.records import TaskRecord
from . import convert
from .identity import version
from .interceptor import Context

if TYPE_CHECKING:
    from ..engine.doctor import Finding
    from ..engine.engine import Engine
    from ..engine.uses import Use

READY, DEGRADED, UNREACHABLE = "ready", "degraded", "unreachable"


class Holdall(stubs.HoldallServicer):
    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    async def ListPools(self, request: pb.ListPoolsRequest, context: Context) -> pb.ListPoolsResponse:
        views = await self._engine.pools.views()
        return pb.ListPoolsResponse(pools=[pool(view) for view in sorted(views, key=lambda view: view.name)])

    async def AdoptPool(self, request: pb.AdoptPoolRequest, context: Context) -> pb.AdoptPoolResponse:
        path = convert.required(request.path, "path")
        return pb.AdoptPoolResponse(pool=pool(await self._engine.pools.adopt(path, request.backend, request.name)))

    async def ForgetPool(self, request: pb.ForgetPoolRequest, context: Context) -> pb.ForgetPoolResponse:
        raise _controllers("forget", request.pool_id)

    async def RememberPool(self, request: pb.RememberPoolRequest, context: Context) -> pb.RememberPoolResponse:
        raise _controllers("remember", request.pool_id)

    async def FollowPool(self, request: pb.FollowPoolRequest, context: Context) -> AsyncIterator[pb.FollowedVolume]:
        for one in _followed(request.pool_id):
            yield one

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksResponse:
        found = self._engine.tasks.all(request.all)
        newest_first = sorted(found, key=lambda one: one[1].started_at, reverse=True)
        return pb.ListTasksResponse(tasks=[_task(pool_id, record) for pool_id, record in newest_first])

    async def WatchTask(self, request: pb.WatchTaskRequest, context: Context) -> AsyncIterator[pb.Task]:
        async for pool_id, record in self._engine.tasks.watch(convert.required(request.id, "id")):
            yield _task(pool_id, record)

    async def Doctor(self, request: pb.DoctorRequest, context: Context) -> AsyncIterator[pb.Finding]:
        async for finding in self._engine.doctor.examine(request.repair):
            yield _finding(finding)

    async def GetNode(self, request: pb.GetNodeRequest, context: Context) -> pb.GetNodeResponse:
        uses = sorted(self._engine.uses.all(), key=lambda use: use.volume_id)
        return pb.GetNodeResponse(
            node_id=self._engine.node_id,
            version=version(),
            driver_name=self._engine.config.driver_name,
            mounts=[_mount(use) for use in uses],
        )


def _controllers(verb: str, pool_id: str) -> errors.Unsupported:
    return errors.Unsupported(
        f"pool {pool_id} is this process's own; to {verb} pools is a controller's, of those whose node is not there any more"
    )


def _followed(pool_id: str) -> list[pb.FollowedVolume]:
    raise _controllers("follow", pool_id)


def pool(view: PoolView) -> pb.Pool:
    """A pool as shown; ``reason`` says everything that is wrong with it."""
    return pb.Pool(
        id=view.id,
        name=view.name,
        backend=view.backend,
        path=view.path,
        node_id=view.node_id,
        device_class=view.device_class,
        state=UNREACHABLE if not view.reachable else DEGRADED if view.ailments else READY,
        reason="; ".join(ailment.message for ailment in view.ailments),
        total_bytes=view.total,
        available_bytes=view.available,
        reserved_bytes=view.reserved,
        maximum_volume_size=view.maximum_volume_size,
        minimum_volume_size=view.minimum_volume_size,
        abilities=view.abilities,
        topology=view.topology,
        schedulable=view.schedulable,
        volumes=view.volumes,
        snapshots=view.snapshots,
        ailments=[pb.PoolAilment(status=one.status, reason=one.reason, message=one.message) for one in view.ailments],
    )


def view(shown: pb.Pool) -> PoolView:
    """The view that ``pool`` made ``shown`` of, as far as it says; of an older node, what is wrong is one ailment."""
    statuses = {DEGRADED: Status.DEGRADED, UNREACHABLE: Status.INACCESSIBLE}
    status = statuses.get(shown.state)
    said = tuple(
        Ailment(Status(one.status), one.reason, one.message) for one in shown.ailments if one.status in STATUSES
    )
    return PoolView(
        id=shown.id,
        name=shown.name,
        backend=shown.backend,
        path=shown.path,
        node_id=shown.node_id,
        device_class=shown.device_class,
        topology=dict(shown.topology),
        schedulable=shown.schedulable,
        abilities=tuple(shown.abilities),
        total=shown.total_bytes,
        available=shown.available_bytes,
        reserved=shown.reserved_bytes,
        maximum_volume_size=shown.maximum_volume_size,
        minimum_volume_size=shown.minimum_volume_size,
        volumes=shown.volumes,
        snapshots=shown.snapshots,
        ailments=said or ((Ailment(status, "Reported", shown.reason),) if status else ()),
        reachable=shown.state != UNREACHABLE,
    )


def _task(pool_id: str, record: TaskRecord) -> pb.Task:
    return pb.Task(
        id=record.id,
        pool_id=pool_id,
        kind=record.kind,
        subject=record.subject,
        state=record.state,
        done_bytes=record.done,
        total_bytes=record.total,
        message=record.message,
        started_at=int(record.started_at),
        finished_at=int(record.finished_at),
    )


def _finding(finding: "Finding") -> pb.Finding:
    return pb.Finding(
        pool_id=finding.pool_id,
        subject=finding.subject,
        kind=finding.kind,
        severity=finding.severity,
        explanation=finding.explanation,
        remedy=finding.remedy,
        repaired=finding.repaired,
    )


def _mount(use: "Use") -> pb.Mount:
    return pb.Mount(
        volume_id=use.volume_id,
        staging_path=use.staging_path,
        targets=sorted(use.targets),
        device=use.device,
        fs_type=use.fs_type,
        read_only=use.read_only,
    )
