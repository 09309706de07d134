"""The pools of this node: opened at start, tried again while away, found by id."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from ..backends import default_pool, registry
from ..host import owner
from ..model import errors, ids
from ..model.config import Config
from ..model.pool import PoolConfig, PoolView, checked_name
from ..model.records import Record, RecordKind
from ..model.volume import Volume
from ..state import choose
from . import placement
from .memory import Memory
from .pool import FINAL, Pool

T = TypeVar("T")

OPENING = 5.0
"""Seconds a pool may take to open before a node that kubelet depends on serves without it."""

log = structlog.get_logger()


class Pools:
    """All pools of one node. ``opened`` is called with each pool once its records can be read, ``tended`` every few seconds."""

    def __init__(
        self,
        config: Config,
        opened: Callable[[Pool], Awaitable[None]],
        tended: Callable[[Pool], Awaitable[None]],
    ) -> None:
        self._config = config
        self._opened = opened
        self._tended = tended
        self._pools: dict[str, Pool] = {}
        self._memory_path = f"{config.state_dir}/pools.json"
        self._memory = Memory()
        self._keeper: asyncio.Task[None] | None = None
        self.node_id = config.node_id

    # -- opening -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Every pool is open, or known from before and being tried again. Raises what is wrong with a pool for good.

        Where kubelet depends on us, any pool may be away, for whatever reason: the others' volumes are to be unmounted.
        """
        self._memory = Memory.read(self._memory_path)
        configured = self._config.pools or (default_pool.config(self._config.state_dir, self._config.default_pool),)
        for config in (*configured, *self._memory.adopted):
            if config.name in self._pools:
                raise errors.InvalidArgument(f"two pools are named {config.name}; names must differ")
            self._pools[config.name] = self._make(config)
        results = await asyncio.gather(*(self._begin(pool) for pool in self.all()), return_exceptions=True)
        if failures := [result for result in results if isinstance(result, BaseException)]:
            await self.stop()
            raise failures[0]
        self._keeper = asyncio.ensure_future(self._keep())

    def _make(self, config: PoolConfig) -> Pool:
        return Pool(
            config,
            root=Path(self._config.state_dir) / "pools" / config.name,
            node_id=self.node_id,
            threads=self._config.pool_threads,
            patience=self._config.pool_patience,
        )

    async def _begin(self, pool: Pool) -> None:
        if not self._config.registration_dir:
            return await self._open(pool, self._config.pool_patience)
        pool.expected_id = self._memory.seen.get(pool.name, "")
        try:
            await self._open(pool, min(OPENING, self._config.pool_patience))
        except errors.DomainError as error:
            if pool.id:  # opened, and the same as another
                raise
            log.error("pool cannot be opened", pool=pool.name, message=error.message)

    async def _open(self, pool: Pool, patience: float) -> None:
        known = self._memory.seen.get(pool.name)
        try:
            await asyncio.wait_for(pool.open(), patience)
        except (TimeoutError, errors.DomainError) as error:
            if isinstance(error, TimeoutError):
                pool.problem = f"no answer within {patience:g} s"
            if not known or isinstance(error, FINAL):
                if isinstance(error, TimeoutError):
                    raise errors.Unavailable(f"pool {pool.name}: {pool.problem}") from error
                raise
            pool.expected_id = known
            log.warning("pool is away", pool=pool.name, message=pool.problem)
            return
        for other in self.all():
            if other is not pool and other.id == pool.id:
                raise errors.InvalidArgument(f"pools {other.name} and {pool.name} are one and the same pool {pool.id}")
        if known != pool.id:
            self._memory.seen[pool.name] = pool.id
            self._memory.write(self._memory_path)
        await self._opened(pool)
        log.info("pool open", pool=pool.name, pool_id=pool.id, backend=pool.backend.kind)

    async def stop(self) -> None:
        """Every pool closed; one that hangs is left to the process's end."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        results = await asyncio.gather(*(_closed(pool) for pool in self.all()), return_exceptions=True)
        for pool, result in zip(self.all(), results, strict=True):
            if isinstance(result, Exception):
                log.warning("pool did not close", pool=pool.name, message=str(result))

    async def _keep(self) -> None:
        """Looks after the pools: those away are tried again, the others measured."""
        while True:
            await asyncio.sleep(5.0)
            await asyncio.gather(*(self._look_after(pool) for pool in self.all()), return_exceptions=True)

    async def _look_after(self, pool: Pool) -> None:
        try:
            if not pool.id:
                await self._open(pool, self._config.pool_patience)
            elif not pool.stuck:
                await asyncio.wait_for(pool.measure(), self._config.pool_patience)
                await self._tended(pool)
        except (TimeoutError, errors.DomainError) as error:
            log.warning("pool is not well", pool=pool.name, message=str(error))

    # -- adopting ----------------------------------------------------------------------------------------------------

    async def adopt(self, path: str, backend: str, name: str) -> PoolView:
        """A pool that another Holdall made, opened here now and at every start. Nothing is written into a stranger.

        An empty ``backend`` is the one that the pool says it was made with, an empty ``name`` its directory's.
        """
        name = checked_name(name or Path(path).name)
        if name in self._pools:
            known = self._pools[name].config.path
            if known and os.path.normpath(known) == os.path.normpath(path):
                return self._pools[name].view(self.topology(self._pools[name]))
            raise errors.AlreadyExists(
                f"pool {name} exists already, at {known or 'its own place'}; choose another name"
            )
        if not Path(path).is_absolute():
            raise errors.InvalidArgument(f"path {path!r} is not absolute")
        try:
            maker = await asyncio.wait_for(asyncio.to_thread(_maker_of, path), self._config.pool_patience)
        except TimeoutError:
            raise errors.Unavailable(f"{path} did not answer within {self._config.pool_patience:g} s") from None
        config = PoolConfig(name=name, backend=backend or maker, path=path)
        pool = self._make(config)
        await self._open(pool, self._config.pool_patience)
        self._pools[config.name] = pool
        self._memory.adopted.append(config)
        self._memory.write(self._memory_path)
        return pool.view(self.topology(pool))

    # -- finding -----------------------------------------------------------------------------------------------------

    def all(self) -> list[Pool]:
        return sorted(self._pools.values(), key=lambda pool: pool.id or pool.expected_id)

    def by_id(self, pool_id: str) -> Pool:
        """NotFound when no pool of ours has that id; Unavailable when it is away, or could be one that never was open."""
        for pool in self._pools.values():
            if pool_id and pool_id in (pool.id, pool.expected_id):
                pool.check_usable()
                return pool
        for pool in self._strangers():
            pool.check_usable()
        raise errors.NotFound(f"pool {pool_id} is not a pool of node {self.node_id}")

    def knows(self, object_id: str) -> bool:
        """Whether the id names one of our pools, away or not, or could: of a pool that never was open no id is known."""
        parts = ids.split(object_id)
        if parts is None:
            return False
        return any(self._strangers()) or any(parts[0] in (pool.id, pool.expected_id) for pool in self._pools.values())

    def _strangers(self) -> Iterator[Pool]:
        return (pool for pool in self._pools.values() if not pool.id and not pool.expected_id)

    def of(self, object_id: str, what: str = "volume") -> Pool:
        """The pool an id lies in. NotFound, in the words of ``what``; Unavailable."""
        if not self.knows(object_id):
            raise errors.NotFound(f"{what} {object_id[:200]} does not exist on node {self.node_id}")
        parts = ids.split(object_id)
        assert parts is not None
        return self.by_id(parts[0])

    async def volume(self, volume_id: str) -> Volume:
        """The record of that volume, complete or not. NotFound."""
        if not volume_id:
            raise errors.InvalidArgument("volume_id is empty; it is required")
        if ids.is_kind(volume_id, ids.VOLUME):
            record = await self.of(volume_id).get("volume", volume_id)
            if isinstance(record, Volume):
                return record
        raise errors.NotFound(f"volume {volume_id[:200]} does not exist")

    async def ready_volume(self, volume_id: str) -> Volume:
        """The complete volume. NotFound."""
        volume = await self.volume(volume_id)
        if volume.state != "ready":
            raise errors.NotFound(f"volume {volume_id} is not complete yet")
        return volume

    async def find(
        self, letter: str, name: str, parameters: dict[str, str], requisite: Sequence[dict[str, str]] = ()
    ) -> tuple[Pool, Record] | None:
        """What an earlier try made of ``name``, in any pool. Unavailable when it may lie in one that does not answer."""
        local = ids.local_part(letter, name)
        for pool in self.all():
            if pool.id and not pool.may_hold(local):
                continue
            if not pool.id and placement.mismatch(pool.view(self.topology(pool)), parameters, requisite):
                continue  # equal requests never meant that pool
            pool.check_usable()
            record = await pool.get(_KINDS[letter], f"{pool.id}.{local}")
            if record is not None:
                return pool, record
        return None

    def meant(self, parameters: dict[str, str], requisite: Sequence[dict[str, str]]) -> list[Pool]:
        """The pools that parameters and topology allow, away or not. InvalidArgument for names that exist nowhere."""
        pools = self.all()
        views = [(pool, pool.view(self.topology(pool))) for pool in pools]
        placement.check_names(parameters, [view for _, view in views], registry.known())
        return [pool for pool, view in views if not placement.mismatch(view, parameters, requisite)]

    def able(self, ability: str) -> list[str]:
        """Names of the pools that have ``ability``."""
        return [pool.name for pool in self.all() if ability in pool.abilities]

    def topology(self, pool: Pool) -> dict[str, str]:
        """Where the pool's volumes can be used."""
        return {self._config.topology_key: pool.node_id}

    async def views(self) -> list[PoolView]:
        """All pools as of the last look; never blocks on one."""
        return [pool.view(self.topology(pool)) for pool in self.all()]

    def shelves(
        self, read: Callable[[Pool, str, int], Awaitable[list[T]]]
    ) -> list[tuple[str, Callable[[str, int], Awaitable[list[T]]]]]:
        """Every pool as a shelf for listing.page. Unavailable when one is away: a list never gets silently shorter."""

        def shelf(pool: Pool) -> tuple[str, Callable[[str, int], Awaitable[list[T]]]]:
            async def take(after: str, count: int) -> list[T]:
                pool.check_usable()
                return await read(pool, after, count)

            return pool.id or pool.expected_id, take

        return [shelf(pool) for pool in self.all()]


def _maker_of(path: str) -> str:
    """The backend of the pool at ``path``, by its own ledger. NotFound when there is none; InUse naming its owner."""
    home = f"{path}/.holdall"
    if os.path.isfile(path):
        raise errors.InvalidArgument(f"{path} is a file; a pool in an image is configured, with image = {path!r}")
    if not os.path.isdir(home):
        raise errors.NotFound(f"{path} holds no pool: there is no .holdall directory in it")
    lock = owner.Lock.acquire(f"{home}/lock", f"pid {os.getpid()}, adopting {path}")
    try:
        ledger = choose.open_ledger(home)
        try:
            return ledger.meta("backend") or ""
        finally:
            ledger.close()
    finally:
        lock.release()


async def _closed(pool: Pool) -> None:
    await asyncio.wait_for(pool.close(), 10.0)


_KINDS: dict[str, RecordKind] = {ids.VOLUME: "volume", ids.SNAPSHOT: "snapshot", ids.GROUP: "group"}
