"""One pool we own: its backend, its ledger, its threads, its promises."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog

from ..backends import base, registry
from ..host import disk, owner
from ..model import errors, ids
from ..model.health import Ailment, Status
from ..model.pool import PoolConfig, PoolView, Space
from ..model.records import Record, RecordKind, Trash
from ..state import choose
from ..state.ledger import Change, Drop, Ledger, Put
from . import workers
from .capacity import Capacity

T = TypeVar("T")
log = structlog.get_logger()

FINAL = (errors.InvalidArgument, errors.NewerSchema, errors.DataDamaged, errors.InUse)
"""What opening a pool may raise that waiting cannot mend: the driver refuses to start."""


class Pool:
    """Opened once; may be found closed (``problem`` says why) while its storage is away, and is then tried again."""

    def __init__(self, config: PoolConfig, *, root: Path, node_id: str, threads: int, patience: float) -> None:
        self.config = config
        self.name = config.name
        self.device_class = config.device_class
        self.node_id = node_id
        self.backend: base.Backend = registry.create(config, root)
        self.ledger: Ledger
        self.id = ""
        self.expected_id = ""
        """Its id from an earlier start, while it is away."""
        self.problem: str = "not opened yet"
        self.untrashed: dict[str, Trash] = {}
        """By id: what was deleted while its data may still lie in place; see engine/trash.py."""
        self._names: set[int | None] = set()
        self._workers = workers.Workers(f"pool {config.name}", threads, patience)
        self._long = workers.Workers(f"pool {config.name} (long work)", 2, 24 * 3600.0)
        self._lock: owner.Lock | None = None
        self._ailments: tuple[Ailment, ...] = ()
        self._measured_at = 0.0
        self._opening: asyncio.Task[None] | None = None
        self._taken_id = ""
        self.capacity = Capacity(
            config.name,
            thin_factor=config.thin_factor,
            floor=config.floor,
            recorded=lambda: self.ledger.totals().reserved if self._taken_id else 0,
        )
        self.abilities = base.abilities(self.backend)

    async def open(self) -> None:
        """Usable. Raises what the backend, the lock or the ledger say, naming the pool; nothing is left behind then.

        A caller that gives up leaves the opening under way; the next call joins it.
        """
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        opening = self._opening
        try:
            await asyncio.shield(opening)
        finally:
            if opening.done():
                self._opening = None

    async def _open(self) -> None:
        try:
            await self.run(self._take)
            await self.measure()
        except errors.DomainError as error:
            self.problem = error.message
            raise
        self.id = self._taken_id
        self.problem = ""

    def _take(self) -> None:
        if self._taken_id:
            return
        self.backend.open()
        try:
            holder = f"pid {os.getpid()}, as pool {self.name} of node {self.node_id}"
            lock = owner.Lock.acquire(f"{self.backend.home}/lock", holder)
            try:
                ledger = choose.open_ledger(self.backend.home)
                try:
                    pool_id = self._identify(ledger)
                    names = {
                        _name_hash(object_id)
                        for kind in ("volume", "snapshot", "group")
                        for object_id in ledger.ids(kind)
                    }
                except BaseException:
                    ledger.close()
                    raise
            except BaseException:
                lock.release()
                raise
        except BaseException:
            self.backend.close()
            raise
        self.device_class = self.device_class or _device_class(self.backend.home)
        self._lock, self.ledger, self._names, self._taken_id = lock, ledger, names, pool_id

    def _identify(self, ledger: Ledger) -> str:
        kind = ledger.meta("backend")
        if kind and kind != self.backend.kind:
            raise errors.InvalidArgument(
                f"pool {self.name} is configured with backend {self.backend.kind}, but {self.backend.home} holds a pool "
                f"of backend {kind}"
            )
        pool_id = ledger.meta("pool_id")
        if not pool_id:
            pool_id = ids.new_pool_id()
            ledger.set_meta("backend", self.backend.kind)
            ledger.set_meta("pool_id", pool_id)
        return pool_id

    async def close(self) -> None:
        """Ledger synced, lock released. Volumes in use stay usable."""
        taken, self.id, self._taken_id, self.problem = self._taken_id, "", "", "closed"
        if taken and not self.stuck:
            await self.run(self._close)
        self._workers.close()
        self._long.close()

    def _close(self) -> None:
        self.ledger.close()
        if self._lock:
            self._lock.release()  # before the backend, which unmounts its own filesystem: the lock is a file on it
        self.backend.close()

    @property
    def usable(self) -> bool:
        return bool(self.id) and not self.stuck

    @property
    def stuck(self) -> bool:
        return self._workers.stuck

    def check_usable(self) -> None:
        """Unavailable, saying why, unless calls can be served."""
        if not self.id:
            raise errors.Unavailable(f"pool {self.name} is not usable: {self.problem}")

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        """``fn(*args)`` in the pool's threads. Unavailable when they are all stuck."""
        return await self._workers.run(fn, *args)

    async def run_long(self, fn: Callable[..., T], *args: Any) -> T:
        """Like ``run``, for work of minutes; at most two at once."""
        return await self._long.run(fn, *args)

    async def commit(self, *changes: Change) -> None:
        """Durable, all or none."""
        self.check_usable()
        await asyncio.wrap_future(self.ledger.commit(changes))
        for change in changes:
            match change:
                case Put(record=record):
                    if (name := _name_hash(record.id)) is not None:
                        self._names.add(name)
                case Drop(kind="volume" | "snapshot" | "group", id=object_id):
                    self._names.discard(_name_hash(object_id))

    async def get(self, kind: RecordKind, record_id: str) -> Record | None:
        self.check_usable()
        if kind in ("volume", "snapshot", "group") and _name_hash(record_id) not in self._names:
            return None
        return await self.run(self.ledger.get, kind, record_id)

    def may_hold(self, local_part: str) -> bool:
        """Whether something of that name is here; answered from memory, also while the storage hangs."""
        return hash(local_part) in self._names

    async def measure(self, *, walk: bool | None = None) -> None:
        """Space and ailments as of now. ``walk``: also what our data takes up; by default only in a small pool."""
        if walk is None:
            totals = self.ledger.totals()
            walk = totals.volumes + totals.snapshots <= 2000
        space, allocated, ailments = await self.run(self._measure, walk)
        self.capacity.observe(space, allocated)
        self._ailments = ailments
        self._measured_at = time.monotonic()

    def _measure(self, walk: bool) -> tuple[Space, int | None, tuple[Ailment, ...]]:
        space = self.backend.space()
        return space, self.backend.allocated() if walk else None, tuple(self.backend.ailments())

    async def observe(self) -> None:
        """Space as of now, at most a second old."""
        if time.monotonic() - self._measured_at > 1.0:
            self.capacity.observe(await self.run(self.backend.space))
            self._measured_at = time.monotonic()

    @property
    def ailments(self) -> tuple[Ailment, ...]:
        """What is wrong with the pool, from the last look and from how it answers."""
        found = list(self._ailments)
        if not self.id:
            found.append(Ailment(Status.INACCESSIBLE, "PoolUnreachable", f"pool {self.name}: {self.problem}"))
        elif self.stuck:
            found.append(Ailment(Status.INACCESSIBLE, "PoolUnreachable", f"pool {self.name} does not answer"))
        if self.capacity.nearly_full and not any(one.reason == "PoolNearlyFull" for one in found):
            free = self.capacity.space.free
            found.append(Ailment(Status.DEGRADED, "PoolNearlyFull", f"pool {self.name} has {free} bytes free"))
        return tuple(found)

    def view(self, topology: dict[str, str]) -> PoolView:
        """The pool as of the last look; never blocks."""
        totals = self.ledger.totals() if self.id else None
        return PoolView(
            id=self.id or self.expected_id,
            name=self.name,
            backend=self.backend.kind,
            path=self.config.path,
            node_id=self.node_id,
            device_class=self.device_class,
            topology=topology,
            schedulable=self.config.schedulable,
            abilities=self.abilities,
            total=self.capacity.total,
            available=self.capacity.available if self.usable else 0,
            reserved=self.capacity.reserved,
            maximum_volume_size=self.capacity.available if self.usable else 0,
            minimum_volume_size=4096,
            volumes=totals.volumes if totals else 0,
            snapshots=totals.snapshots if totals else 0,
            ailments=self.ailments,
            reachable=self.usable,
        )


def _device_class(path: str) -> str:
    """What the disk below is, for pools that are not configured to say; empty when nobody knows."""
    try:
        found = disk.describe(path).device_class
    except errors.DomainError:
        return ""
    return "" if found == "unknown" else found


def _name_hash(object_id: str) -> int | None:
    parts = ids.split(object_id)
    return hash(parts[1]) if parts else None
