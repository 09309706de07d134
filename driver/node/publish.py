"""NodePublishVolume and NodeUnpublishVolume: a staged volume is shown at a target path.

| step of publish | a crash after it leaves |
|---|---|
| the target is noted | a note without a mount: counts only while something is mounted there |
| the target path is made | an empty directory or file, used by the next publish, removed by unpublish |
| the volume is bound there, with its flags, at one moment | the volume, published |

Unpublish goes back: unmounted, the path removed, the note dropped. Between looking at the notes and writing them nothing
is awaited, so two calls never both find the only place free.
"""

import contextlib

import msgspec

from ..backends import base
from ..engine import specification
from ..engine.engine import Engine
from ..engine.uses import Target, Use
from ..host import block, mount_options, mounts
from ..model import errors
from ..model.capability import Capability
from ..model.volume import Volume
from . import paths, staged, targets
from .reach import Reach


class Publish:
    """Target paths of staged volumes."""

    def __init__(self, engine: Engine, reach: Reach) -> None:
        self._engine = engine
        self._reach = reach

    async def publish(
        self, volume_id: str, target_path: str, staging_path: str, capability: Capability, readonly: bool
    ) -> None:
        """The volume is at the target path, read-only if the call or the capability says so.

        NotFound; FailedPrecondition when it is not staged there, when the access mode allows no second target, or when
        something else lies at the path; AlreadyExists when it is there in another way.
        """
        path = paths.checked(target_path, "target_path")
        if not volume_id:
            raise errors.InvalidArgument("volume_id is empty; it is required")
        if not staging_path:
            await self._engine.volumes.get(volume_id)
            raise errors.FailedPrecondition(
                "staging_target_path is empty; volumes are staged before they are published"
            )
        staging = paths.checked(staging_path, "staging_target_path")
        wanted = Target(capability, readonly)
        request = ("publish", staging, wanted)
        await self._engine.inflight.run(
            f"{volume_id} at {path}", request, lambda: self._publish(volume_id, path, staging, wanted)
        )

    async def _publish(self, volume_id: str, path: str, staging: str, wanted: Target) -> None:
        use = await self._staged(volume_id, staging, wanted.capability)
        targets.refuse_capability(use, wanted.capability, wanted.readonly)
        rivals = targets.standing(use, path, wanted)
        if use.targets.get(path, wanted) != wanted:
            rivals = [*rivals, path]
        alive = await self._reach.run(volume_id, staged.mounted_of, rivals) if rivals else []
        with self._engine.inflight.hold(volume_id, f"its publication at {path}"):
            known = use.targets.get(path)
            noted = self._note(volume_id, path, wanted, set(rivals) - set(alive))
            try:
                await self._reach.run(volume_id, _place, noted, path, wanted)
            except Exception:
                if known != wanted or not await self._is_there(noted, path):
                    await self._forget(volume_id, path)
                raise

    async def _staged(self, volume_id: str, staging: str, capability: Capability) -> Use:
        """The use to publish from. A staged volume that nobody remembers is recognized by what is mounted."""
        use = self._engine.uses.of(volume_id)
        if use is not None and use.kind == "filesystem":
            if use.staging_path == staging:
                return use
            raise errors.FailedPrecondition(f"volume {volume_id} is staged at {use.staging_path}, not at {staging}")
        # A block volume has no mount that would show whether its device still is the one that was noted.
        volume = await self._engine.volumes.get(volume_id)
        if why := specification.refuse_capabilities(volume, [capability]):
            raise errors.FailedPrecondition(why)
        pool = self._engine.pools.of(volume_id)
        found = await pool.run(staged.recognized, pool.backend, volume, staging, capability)
        if found is None:
            raise errors.FailedPrecondition(f"volume {volume_id} is not staged at {staging}; stage it first")
        current = self._engine.uses.of(volume_id)
        if current is None or current.device != found.device:
            self._engine.uses.put(found)
            return found
        if current.staging_path != staging:
            raise errors.FailedPrecondition(f"volume {volume_id} is staged at {current.staging_path}, not at {staging}")
        return current

    def _note(self, volume_id: str, path: str, wanted: Target, gone: set[str]) -> Use:
        """The use, with ``wanted`` noted at ``path`` and without the targets in ``gone``. Awaits nothing."""
        use = self._engine.uses.of(volume_id)
        if use is None:
            raise errors.FailedPrecondition(f"volume {volume_id} was unstaged just now; stage it again")
        known = {target: how for target, how in use.targets.items() if target not in gone}
        use = msgspec.structs.replace(use, targets=known)
        if known.get(path, wanted) != wanted:
            raise targets.differs(use, path, wanted)
        if standing := targets.standing(use, path, wanted):
            raise targets.second_refused(use, standing, wanted)
        if not use.writable and not targets.target_reads_only(wanted):
            self._refuse_if_copied(volume_id)
        if path not in known or gone:
            use = msgspec.structs.replace(use, targets={**known, path: wanted})
            self._engine.uses.put(use)
        return use

    def _refuse_if_copied(self, volume_id: str) -> None:
        """Busy while the engine copies the volume, trusting that nobody writes to it."""
        reasons = [why for why in self._engine.inflight.held(volume_id).split(", ") if "publication" not in why]
        if any(reasons):
            raise errors.Busy(f"volume {volume_id} is in use by {', '.join(reasons)}; try again when that has ended")

    async def _is_there(self, use: Use, path: str) -> bool:
        try:
            return await self._reach.run(use.volume_id, staged.is_published, use, path)
        except errors.Unavailable:
            return True

    async def _forget(self, volume_id: str, path: str) -> None:
        use = self._engine.uses.of(volume_id)
        if use is None or path not in use.targets:
            return
        left = {target: how for target, how in use.targets.items() if target != path}
        use = msgspec.structs.replace(use, targets=left)
        self._engine.uses.put(use)
        if use.kind == "block" and left:
            await self._reach.run(volume_id, _protect, use)

    async def unpublish(self, volume_id: str, target_path: str) -> None:
        """Nothing of the volume is at the target path any more, nor the path itself.

        Nothing to do, without an error, when it was not there. InUse while a process holds it open;
        FailedPrecondition when something that is not ours lies there.
        """
        path = paths.checked(target_path, "target_path")
        if not volume_id:
            raise errors.InvalidArgument("volume_id is empty; it is required")
        await self._engine.inflight.run(
            f"{volume_id} at {path}", ("unpublish",), lambda: self._unpublish(volume_id, path)
        )

    async def _unpublish(self, volume_id: str, path: str) -> None:
        use = self._engine.uses.of(volume_id)
        if use is None or path not in use.targets:
            await self._unpublish_unnoted(volume_id, path)
            return
        await self._reach.run(volume_id, _take_away, path)
        await self._forget(volume_id, path)

    async def _unpublish_unnoted(self, volume_id: str, path: str) -> None:
        """A target of an earlier process whose note was lost, or one that is gone already."""
        try:
            volume = await self._engine.volumes.get(volume_id)
        except errors.NotFound:
            return
        pool = self._engine.pools.of(volume_id)
        await pool.run(_take_away_unnoted, pool.backend, volume, path)


def _place(use: Use, path: str, wanted: Target) -> None:
    """The volume is bound at ``path``, which is made if need be."""
    source = staged.source_of(use)
    if use.kind == "block":
        _protect(use)
    made = not staged.is_mounted(path) and paths.ensure_target(path, wanted.capability.access)
    try:
        read_only = targets.target_reads_only(wanted)
        mounts.ensure_bound(source, path, read_only=read_only, options=_own_options(use, wanted.capability))
    except Exception:
        if made:
            with contextlib.suppress(errors.DomainError):
                paths.remove_target(path)
        raise


def _own_options(use: Use, capability: Capability) -> list[str]:
    """Mount options that this target has beyond those it takes over from the staging path."""
    if capability.mount_flags == use.capability.mount_flags:
        return []
    wanted = mounts.parse_options(capability.mount_flags)
    if missing := set(wanted.data) - set(mounts.parse_options(use.capability.mount_flags).data):
        raise errors.FailedPrecondition(
            f"volume {use.volume_id} is mounted at its staging path without {', '.join(sorted(missing))}, which cannot be "
            "added for one target; unstage it, and stage it with those options"
        )
    return [word for word, attribute in mount_options.WORDS.items() if wanted.attributes & attribute]


def _protect(use: Use) -> None:
    """The device of a block volume refuses writes unless one of its targets may write."""
    read_only = all(targets.target_reads_only(target) for target in use.targets.values())
    if block.is_read_only(use.device) != read_only:
        block.set_read_only(use.device, read_only)


def _take_away(path: str) -> None:
    mounts.ensure_unmounted(path)
    paths.remove_target(path)


def _take_away_unnoted(backend: base.Backend, volume: Volume, path: str) -> None:
    if staged.shows_volume(backend, volume, path):
        _take_away(path)
    elif staged.is_mounted(path):
        raise errors.FailedPrecondition(f"what is mounted at target_path {path} is not volume {volume.id}; it is kept")
    else:
        with contextlib.suppress(errors.FailedPrecondition):
            paths.remove_target(path)
