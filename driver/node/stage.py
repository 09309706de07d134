"""NodeStageVolume and NodeUnstageVolume: a volume is made usable on this node, once, at its staging path.

Stage, a volume that is a device and becomes a mount:
| step | a crash after it leaves |
|---|---|
| a new volume's file is there (again), attached | an attached device; the next stage or unstage finds it |
| formatted, if the record says never (formatting.py) | see there |
| a copy got its own UUID, then the record says so | the UUID again changed at the next stage; nobody had it mounted |
| the use is noted | a note without a mount, dropped at start |
| checked, if it is marked unclean, and mounted | the volume, staged |
| the filesystem fills its device, then the record says so | grown; looked at again at every stage |

A block volume ends with the note; a directory is bound in place of attached, formatted and mounted. Unstage goes back:
unmounted, detached, the note dropped.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog

from ..backends import base
from ..engine import specification
from ..engine.engine import Engine
from ..engine.pool import Pool
from ..engine.uses import Target, Use
from ..host import files, filesystem, mounts
from ..model import errors
from ..model.capability import Capability
from ..model.volume import Volume
from . import formatting, growth, paths, staged, targets
from .reach import Reach

T = TypeVar("T")
PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between tries to free an unmounted device. A container that is being started has a copy of every mount of the
host, ours too, until it has turned its root directory; a device is not free before that."""
log = structlog.get_logger()


class Stage:
    """Staging paths, and what stands behind them."""

    def __init__(self, engine: Engine, reach: Reach) -> None:
        self._engine = engine
        self._reach = reach

    async def stage(self, volume_id: str, staging_path: str, capability: Capability, *, inline: bool = False) -> None:
        """The volume is usable at the staging path, a directory of the caller's.

        NotFound; FailedPrecondition when the volume cannot be had in this way, or is staged elsewhere; AlreadyExists
        when it is staged there in another way; InvalidArgument for a mount option that is none; whatever attaching,
        formatting or mounting says, and then the volume is as it was.
        """
        path = paths.checked(staging_path, "staging_target_path")
        request = ("stage", path, capability)
        await self._alone(volume_id, path, request, lambda: self._stage(volume_id, path, capability, inline))

    async def _stage(self, volume_id: str, path: str, capability: Capability, inline: bool) -> None:
        volume = await self._engine.volumes.get(volume_id)
        if volume.state != "ready":
            raise errors.NotFound(f"volume {volume_id} is not complete yet")
        if why := specification.refuse_capabilities(volume, [capability]):
            raise errors.FailedPrecondition(why)
        pool = self._engine.pools.of(volume_id)
        use = Use(
            volume_id=volume_id,
            staging_path=path,
            kind=volume.kind,
            capability=capability,
            fs_type=volume.fs_type,
            read_only=targets.reads_only(capability),
            inline=inline,
        )
        if known := self._engine.uses.of(volume_id):
            still = await self._reach.run(volume_id, _check_known, known, path, capability)
            use = msgspec.structs.replace(use, targets=still)
        backend = pool.backend
        if isinstance(backend, base.Devices):
            try:
                await self._stage_device(pool, backend, volume, use)
            except Exception:
                if self._engine.uses.of(volume_id) is None:
                    with contextlib.suppress(errors.DomainError):
                        await pool.run(backend.detach, volume)
                raise
        elif isinstance(backend, base.Directories):
            await self._stage_directory(pool, backend, volume, use)
        else:
            raise errors.Unsupported(f"volumes of pool {pool.name} ({backend.kind}) are not staged on a node")

    async def _stage_device(self, pool: Pool, backend: base.Devices, volume: Volume, use: Use) -> None:
        device = await pool.run(_attached, pool.backend, volume)
        if not volume.formatted:
            if volume.kind == "filesystem":
                await pool.run(formatting.ensure_formatted, pool.backend, volume, device)
            else:
                await pool.run(files.fsync_file, device)  # empty volumes are not synced when they are made
            volume = await self._engine.volumes.update(volume.id, formatted=True, fresh_uuid=False, grow=False)
        elif volume.fresh_uuid:
            await pool.run(filesystem.new_uuid, device, volume.fs_type)
            volume = await self._engine.volumes.update(volume.id, fresh_uuid=False)
        use = msgspec.structs.replace(use, device=device)
        if volume.kind == "block":
            await pool.run(paths.require_directory, use.staging_path, "staging_target_path")
            self._engine.uses.put(use)
            return
        filled = await self._noted(pool, volume, use, lambda: pool.run(_mount, pool.backend, volume, use))
        if volume.grow and filled:
            await self._engine.volumes.update(volume.id, grow=False)

    async def _stage_directory(self, pool: Pool, backend: base.Directories, volume: Volume, use: Use) -> None:
        if not volume.formatted:
            if not await pool.run(pool.backend.exists, volume):
                await pool.run(pool.backend.ensure_created, volume)
            await pool.run(backend.mark_used, volume)
            await self._engine.volumes.update(volume.id, formatted=True)
        directory = await pool.run(backend.directory, volume)
        await self._noted(pool, volume, use, lambda: pool.run(_bind, directory, use))

    async def _noted(self, pool: Pool, volume: Volume, use: Use, mount: Callable[[], Awaitable[T]]) -> T:
        """The use is noted and its mount made; when that fails and the volume is not there, no note is left."""
        before = self._engine.uses.of(use.volume_id)
        self._engine.uses.put(use)
        try:
            return await mount()
        except Exception:
            if not await pool.run(staged.shows_volume, pool.backend, volume, use.staging_path):
                self._restore(use.volume_id, before)
            raise

    def _restore(self, volume_id: str, before: Use | None) -> None:
        if before is None:
            self._engine.uses.drop(volume_id)
        else:
            self._engine.uses.put(before)

    async def unstage(self, volume_id: str, staging_path: str) -> None:
        """The volume is not staged at that path (any more), and its device is free.

        Nothing to do, without an error, for an unknown volume or another path. InUse while it is published or open.
        """
        path = paths.checked(staging_path, "staging_target_path")
        if not volume_id:
            raise errors.InvalidArgument("volume_id is empty; it is required")
        await self._alone(volume_id, path, ("unstage", path), lambda: self._unstage(volume_id, path))

    async def _alone(self, volume_id: str, path: str, request: object, body: Callable[[], Awaitable[None]]) -> None:
        """``body``, with neither the volume nor the path in other hands: two volumes at one path would stack mounts."""
        inflight = self._engine.inflight
        here = functools.partial(inflight.run, f"staging at {path}", (volume_id, request), body)
        await inflight.run(volume_id, request, here)

    async def _unstage(self, volume_id: str, path: str) -> None:
        use = self._engine.uses.of(volume_id)
        if use is None:
            await self._unstage_unnoted(volume_id, path)
            return
        if use.staging_path != path:
            return
        if standing := await self._reach.run(volume_id, staged.mounted_of, list(use.targets)):
            raise errors.InUse(f"volume {volume_id} is published at {', '.join(standing)}; unpublish it first")
        if use.kind == "filesystem":
            await self._reach.apart(volume_id, mounts.ensure_unmounted, path)
        if use.device:
            await self._detach(volume_id)
        self._engine.uses.drop(volume_id)

    async def _detach(self, volume_id: str) -> None:
        pool = self._engine.pools.of(volume_id)
        try:
            volume = await self._engine.volumes.get(volume_id)
        except errors.NotFound:
            return
        assert isinstance(pool.backend, base.Devices)
        for pause in PAUSES:
            try:
                await pool.run(pool.backend.detach, volume)
            except errors.InUse:
                await asyncio.sleep(pause)
            else:
                return
        await pool.run(pool.backend.detach, volume)

    async def _unstage_unnoted(self, volume_id: str, path: str) -> None:
        """What an earlier process left between two steps, or a lost note, is cleared away."""
        try:
            volume = await self._engine.volumes.get(volume_id)
        except errors.NotFound:
            return
        pool = self._engine.pools.of(volume_id)
        await pool.run(_clear, pool.backend, volume, path)


def _check_known(known: Use, path: str, capability: Capability) -> dict[str, Target]:
    """The targets of an earlier stage that are still there. Raises when that stage stands in the way of this one."""
    standing = staged.mounted_of(list(known.targets))
    if known.staging_path != path:
        if standing or (known.kind == "filesystem" and staged.is_staged(known)):
            raise errors.FailedPrecondition(
                f"volume {known.volume_id} is staged at {known.staging_path}; unstage it there first"
            )
    elif not targets.same_stage(known.capability, capability) and (
        standing or known.kind == "block" or staged.is_staged(known)
    ):
        raise errors.AlreadyExists(
            f"volume {known.volume_id} is staged at {path} in another way; unstage it there first"
        )
    return {target: known.targets[target] for target in standing}


def _attached(backend: base.Backend, volume: Volume) -> str:
    assert isinstance(backend, base.Devices)
    if not volume.formatted and not backend.exists(volume):
        backend.ensure_created(volume)
    return backend.attach(volume)


def _mount(backend: base.Backend, volume: Volume, use: Use) -> bool:
    """The volume's filesystem is mounted at the staging path; whether it is as large as its device, as it should be."""
    formatting.settle(backend, volume)
    paths.seen_at(use.staging_path)
    paths.require_directory(use.staging_path, "staging_target_path")
    if use.read_only:
        growth.fill_before_reading(use, staged.shows_volume(backend, volume, use.staging_path))
    growth.mount(use)
    if not use.read_only:
        try:
            growth.ensure_filled(use)
        except errors.FailedPrecondition as refused:
            # Usable all the same, as it was until now; its health says what it lacks.
            log.warning("filesystem does not fill its volume", volume_id=volume.id, message=refused.message)
            return False
    return True


def _bind(directory: str, use: Use) -> None:
    paths.seen_at(use.staging_path)
    paths.require_directory(use.staging_path, "staging_target_path")
    mounts.ensure_bound(directory, use.staging_path, read_only=use.read_only, options=use.capability.mount_flags)


def _clear(backend: base.Backend, volume: Volume, path: str) -> None:
    if volume.kind == "filesystem" and staged.shows_volume(backend, volume, path):
        mounts.ensure_unmounted(path)
    if isinstance(backend, base.Devices) and backend.attached(volume):
        with contextlib.suppress(errors.InUse):  # it is mounted somewhere else, not staged at this path
            backend.detach(volume)
