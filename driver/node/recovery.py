"""What start does about the notes of an earlier process: mounts that went with a reboot are forgotten, the rest thawed."""

import asyncio
import os

import msgspec
import structlog

from ..backends import base
from ..engine.engine import Engine
from ..engine.uses import Use
from ..host import freeze, mounts
from ..model import errors
from . import growth, staged
from .reach import Reach

log = structlog.get_logger()


class Recovery:
    """Brings the notes in line with the kernel, once, before the first call is served."""

    def __init__(self, engine: Engine, reach: Reach, patience: float) -> None:
        self._engine = engine
        self._reach = reach
        self._patience = patience

    async def run(self) -> None:
        """Notes without any mount or device are dropped; every filesystem of a volume is thawed.

        The mount table is read once. A pool that does not answer keeps its notes, and holds this up for no longer than
        its patience.
        """
        table = {entry.target: entry for entry in mounts.mountinfo()}
        await asyncio.gather(*(self._recover(use, table) for use in self._engine.uses.all()))

    async def _recover(self, use: Use, table: dict[str, mounts.MountInfo]) -> None:
        published = {path: target for path, target in use.targets.items() if _real(path) in table}
        if use.kind == "filesystem":
            entry = table.get(_real(use.staging_path))
            is_staged = entry is not None and (not use.device or entry.source == use.device)
            if use.device and entry is None and await self._is_attached(use):
                is_staged = await self._mounted_again(use)
            if is_staged and use.device:
                await self._thaw(use)
        else:
            is_staged = await self._is_attached(use)
        if not is_staged and not published:
            self._engine.uses.drop(use.volume_id)
            log.info("volume is staged no more", volume_id=use.volume_id, staging_path=use.staging_path)
        elif published != use.targets:
            self._engine.uses.put(msgspec.structs.replace(use, targets=published))

    async def _mounted_again(self, use: Use) -> bool:
        """No reboot took the mount, since the device is still there: a process died that had unmounted it to let it grow,
        or on the way between mount and device. The caller believes it staged, or asks again for what was under way."""
        pool = self._reach.pool(use.volume_id)
        if pool is None:
            return True
        try:
            await asyncio.wait_for(pool.run(growth.mount, use), self._patience)
        except (TimeoutError, errors.DomainError) as error:
            log.warning("could not mount again", volume_id=use.volume_id, message=str(error))
            return False
        return True

    async def _thaw(self, use: Use) -> None:
        """A process that died while it cut a snapshot may have left the filesystem frozen (EINVAL: it did not)."""
        try:
            if await asyncio.wait_for(self._reach.run(use.volume_id, _thaw_staged, use), self._patience):
                log.warning("thawed a filesystem that was left frozen", volume_id=use.volume_id)
        except (TimeoutError, errors.DomainError) as error:
            log.warning("could not thaw", volume_id=use.volume_id, message=str(error))

    async def _is_attached(self, use: Use) -> bool:
        pool = self._reach.pool(use.volume_id)
        if pool is None or not isinstance(pool.backend, base.Devices):
            return True
        try:
            volume = await self._engine.volumes.get(use.volume_id)
            device = await asyncio.wait_for(pool.run(pool.backend.attached, volume), self._patience)
        except errors.NotFound:
            return False
        except (TimeoutError, errors.DomainError):
            return True
        return device == use.device


def _thaw_staged(use: Use) -> bool:
    return staged.is_staged(use) and freeze.thaw(use.staging_path)


def _real(path: str) -> str:
    """``path`` as the mount table words it. The last part is not followed: it is the mount point itself."""
    parent, name = os.path.split(path)
    return os.path.join(os.path.realpath(parent), name)
