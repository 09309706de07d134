"""ControllerPublishVolume: who may use a volume where. Bookkeeping only; the node's own rules never depend on it."""

import hashlib
from collections.abc import Callable

from ..model import errors, ids
from ..model.capability import Capability
from ..model.records import Grant
from ..model.volume import Volume
from ..state.ledger import Drop, Put
from . import specification
from .inflight import Inflight
from .pool import Pool
from .pools import Pools


class Grants:
    """All grants of our pools, indexed in memory; the ledger of the volume's pool keeps them."""

    def __init__(self, pools: Callable[[], Pools], inflight: Inflight, max_volumes_per_node: int) -> None:
        self._pools = pools
        self._inflight = inflight
        self._limit = max_volumes_per_node
        self._by_volume: dict[str, dict[str, Grant]] = {}
        self._by_node: dict[str, int] = {}

    async def load(self, pool: Pool) -> None:
        """The grants that ``pool`` remembers."""
        for record in await pool.run(lambda: pool.ledger.page("grant")):
            assert isinstance(record, Grant)
            self._add(record)

    def nodes_of(self, volume_id: str) -> list[str]:
        return sorted(self._by_volume.get(volume_id, ()))

    async def publish(self, volume_id: str, node_id: str, capability: Capability, readonly: bool) -> None:
        """The volume is granted to the node.

        NotFound for an unknown volume or node; AlreadyExists when it is granted there in another way; InUse when it is
        granted elsewhere; LimitReached when the node has its fill.
        """
        for field, value in (("volume_id", volume_id), ("node_id", node_id)):
            if not value:
                raise errors.InvalidArgument(f"{field} is empty; it is required")
        request = ("grant", node_id, capability, readonly)
        await self._inflight.run(volume_id, request, lambda: self._publish(volume_id, node_id, capability, readonly))

    async def _publish(self, volume_id: str, node_id: str, capability: Capability, readonly: bool) -> None:
        pool = self._pools().of(volume_id)
        volume = await pool.get("volume", volume_id)
        if not isinstance(volume, Volume) or volume.state != "ready":
            raise errors.NotFound(f"volume {volume_id} does not exist")
        if node_id != pool.node_id:
            raise errors.NotFound(f"node {node_id} does not exist here; volume {volume_id} is on node {pool.node_id}")
        if why := specification.refuse_capabilities(volume, [capability]):
            raise errors.InvalidArgument(why)
        grant = Grant(
            id=_grant_id(volume_id, node_id),
            volume_id=volume_id,
            node_id=node_id,
            capability=capability,
            readonly=readonly,
        )
        known = self._by_volume.get(volume_id, {})
        if node_id in known:
            if known[node_id] != grant:
                raise errors.AlreadyExists(f"volume {volume_id} is attached to {node_id} already, in another way")
            return
        if known and not capability.mode.many_nodes:
            raise errors.InUse(f"volume {volume_id} is attached to node {', '.join(known)}; detach it there first")
        if self._by_node.get(node_id, 0) >= self._limit:
            raise errors.LimitReached(f"node {node_id} has {self._limit} volumes attached, its limit")
        # Counted before the commit: concurrent grants must not pass the limit together.
        self._add(grant)
        try:
            await pool.commit(Put(grant))
        except BaseException:
            self._remove(grant)
            raise

    async def unpublish(self, volume_id: str, node_id: str) -> None:
        """The volume is not granted to the node; an empty ``node_id`` means every node. Nothing to do is fine."""
        if not volume_id:
            raise errors.InvalidArgument("volume_id is empty; it is required")
        if not ids.is_kind(volume_id, ids.VOLUME) or not self._pools().knows(volume_id):
            return
        await self._inflight.run(volume_id, ("revoke", node_id), lambda: self._unpublish(volume_id, node_id))

    async def _unpublish(self, volume_id: str, node_id: str) -> None:
        pool = self._pools().of(volume_id)
        grants = [g for g in self._by_volume.get(volume_id, {}).values() if node_id in ("", g.node_id)]
        if grants:
            await pool.commit(*(Drop("grant", grant.id) for grant in grants))
            for grant in grants:
                self._remove(grant)

    def _add(self, grant: Grant) -> None:
        known = self._by_volume.setdefault(grant.volume_id, {})
        if grant.node_id not in known:
            self._by_node[grant.node_id] = self._by_node.get(grant.node_id, 0) + 1
        known[grant.node_id] = grant

    def _remove(self, grant: Grant) -> None:
        known = self._by_volume.get(grant.volume_id, {})
        if known.pop(grant.node_id, None):
            self._by_node[grant.node_id] -= 1
        if not known:
            self._by_volume.pop(grant.volume_id, None)


def _grant_id(volume_id: str, node_id: str) -> str:
    return f"{volume_id}@{hashlib.sha256(node_id.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
