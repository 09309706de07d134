"""The node as its edges see it: CSI's Node service in our words."""

from collections.abc import Mapping

from ..engine.engine import Engine
from ..model import ids
from ..model.capability import Capability
from ..model.config import Config
from ..model.health import Ailment
from ..model.pool import PoolView
from ..model.sizes import SizeRange
from ..model.usage import NodeInfo, UsageRow
from .expand import Expand
from .health import Health
from .inline import Inline, is_inline
from .publish import Publish
from .reach import Reach
from .recovery import Recovery
from .stage import Stage
from .stats import Stats


class NodePlugin:
    """Staging, publishing and looking after the volumes of one node. Use on the engine's event loop, once it started.

    Secrets are accepted and not used: no backend of the core needs any to reach its volumes.
    """

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self._config = config
        self._reach = Reach(engine, config.pool_patience)
        self._stage = Stage(engine, self._reach)
        self._publish = Publish(engine, self._reach)
        self._inline = Inline(engine, self._stage, self._publish, config.state_dir)
        self._stats = Stats(engine, self._reach)
        self._expand = Expand(engine, self._reach)
        self._health = Health(engine, self._reach)
        self._recovery = Recovery(engine, self._reach, config.pool_patience)
        engine.health.look = self._health.of_use

    async def start(self) -> None:
        """Notes of an earlier process agree with the kernel again, and nothing of ours is frozen."""
        await self._recovery.run()

    async def stop(self) -> None:
        """Mounts stay; only threads end."""
        self._reach.close()

    async def stage(
        self,
        volume_id: str,
        staging_path: str,
        capability: Capability,
        volume_context: Mapping[str, str] | None = None,
        publish_context: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """NodeStageVolume; see Stage.stage."""
        await self._stage.stage(volume_id, staging_path, capability)

    async def unstage(self, volume_id: str, staging_path: str) -> None:
        """NodeUnstageVolume; see Stage.unstage."""
        await self._stage.unstage(volume_id, staging_path)

    async def publish(
        self,
        volume_id: str,
        target_path: str,
        staging_path: str,
        capability: Capability,
        readonly: bool = False,
        volume_context: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """NodePublishVolume; see Publish.publish, and Inline.publish for a volume that lives as long as its pod."""
        if volume_context and is_inline(volume_context):
            await self._inline.publish(volume_id, target_path, capability, readonly, volume_context)
        else:
            await self._publish.publish(volume_id, target_path, staging_path, capability, readonly)

    async def unpublish(self, volume_id: str, target_path: str) -> None:
        """NodeUnpublishVolume; see Publish.unpublish and Inline.unpublish."""
        if ids.split(volume_id) is None:
            await self._inline.unpublish(volume_id, target_path)
        else:
            await self._publish.unpublish(volume_id, target_path)

    async def stats(self, volume_id: str, volume_path: str, staging_path: str = "") -> list[UsageRow]:
        """NodeGetVolumeStats; see Stats.of."""
        return await self._stats.of(await self._inline.id_of(volume_id), volume_path)

    async def expand(
        self,
        volume_id: str,
        volume_path: str,
        staging_path: str,
        size: SizeRange,
        capability: Capability | None = None,
    ) -> int:
        """NodeExpandVolume; see Expand.expand."""
        return await self._expand.expand(await self._inline.id_of(volume_id), volume_path, size, capability)

    async def health(self, volume_id: str, volume_path: str = "", staging_path: str = "") -> list[Ailment]:
        """NodeGetVolumeHealth; see Health.of."""
        return await self._health.of(await self._inline.id_of(volume_id), volume_path, staging_path)

    async def storage_health(self) -> list[tuple[PoolView, list[Ailment]]]:
        """NodeGetStorageHealth: every pool with what is wrong with it; an empty list for a healthy one."""
        return await self._engine.health.storage()

    def info(self) -> NodeInfo:
        """NodeGetInfo."""
        return NodeInfo(
            node_id=self._config.node_id,
            max_volumes=self._config.max_volumes_per_node,
            topology={self._config.topology_key: self._config.node_id},
        )
