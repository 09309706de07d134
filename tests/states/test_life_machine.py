"""The life of volumes and snapshots in any order, against a plain model: what the model says is what the engine says."""

import asyncio
import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.stateful as stateful
import msgspec
import pytest
from hypothesis import strategies as st

from driver.backends import base
from driver.engine.engine import Engine
from driver.model import errors
from driver.model.capability import Capability
from driver.model.config import Config
from driver.model.pool import PoolConfig
from driver.model.sizes import MIB, SizeRange
from driver.model.snapshot import SnapshotRequest
from driver.model.volume import Source, Volume, VolumeRequest

from .places import Place

FULL = os.environ.get("HOLDALL_PROOF") == "full"
NAMES = st.sampled_from([f"name-{letter}" for letter in "abcdef"])
SIZES = st.integers(min_value=1, max_value=6).map(lambda n: n * 2 * MIB)


class Known(msgspec.Struct):
    """What the model remembers of one volume or snapshot."""

    id: str
    size: int
    content: str
    source: Source | None = None
    origin: str = ""


class Life(stateful.RuleBasedStateMachine):
    """Volumes and snapshots by name; ``content`` is the token last written."""

    place: Place

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.state = tempfile.mkdtemp(prefix="holdall-life-", dir=self.place.path.parent)
        self.pool_path = Path(self.state) / "pool"
        self.pool_path.mkdir()
        self.volumes: dict[str, Known] = {}
        self.snapshots: dict[str, Known] = {}
        self.tokens = itertools.count()
        self.engine = self._start()
        kind = "block" if isinstance(self._pool().backend, base.Devices) else "mount"
        self.capability = Capability(access=kind)

    def _start(self) -> Engine:
        config = Config(
            node_id="node-a",
            state_dir=f"{self.state}/state",
            pools=(PoolConfig(name="pool", backend=self.place.backend, path=str(self.pool_path)),),
        )
        engine = Engine(config)
        self.run(engine.start())
        return engine

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def _pool(self) -> Any:
        return self.engine.pools.all()[0]

    def teardown(self) -> None:
        try:
            for known in list(self.volumes.values()):
                self.run(self.engine.volumes.delete(known.id))
            self.run(self.engine.stop())
        finally:
            self.loop.close()
            shutil.rmtree(self.state, ignore_errors=True)

    # -- content -------------------------------------------------------------------------------------------------------

    def _file(self, volume: Volume) -> str:
        backend = self._pool().backend
        if isinstance(backend, base.Devices):
            return backend.attach(volume)
        directory = backend.directory(volume)
        backend.mark_used(volume)
        return f"{directory}/content"

    def _write(self, known: Known) -> None:
        volume = self.run(self.engine.volumes.update(known.id, formatted=True))
        known.content = f"token-{next(self.tokens)}"
        flags = os.O_RDWR | (0 if isinstance(self._pool().backend, base.Devices) else os.O_CREAT)
        descriptor = os.open(self._file(volume), flags, 0o600)
        try:
            os.pwrite(descriptor, known.content.ljust(4096).encode(), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _read(self, known: Known) -> str:
        volume = self.run(self.engine.volumes.get(known.id))
        try:
            descriptor = os.open(self._file(volume), os.O_RDONLY)
        except FileNotFoundError:
            return ""
        try:
            return os.pread(descriptor, 4096, 0).decode().strip("\0").strip()
        finally:
            os.close(descriptor)

    # -- rules ---------------------------------------------------------------------------------------------------------

    def _request(self, name: str, size: int, source: Source | None = None) -> VolumeRequest:
        return VolumeRequest(
            name=name, capabilities=(self.capability,), size=SizeRange(required=size, limit=size), source=source
        )

    @stateful.rule(name=NAMES, size=SIZES)
    def create(self, name: str, size: int) -> None:
        known = self.volumes.get(name)
        if known is None:
            volume = self.run(self.engine.volumes.create(self._request(name, size)))
            self.volumes[name] = Known(volume.id, volume.size, "")
            assert volume.size == size
        elif known.size == size and known.source is None:
            assert self.run(self.engine.volumes.create(self._request(name, size))).id == known.id
        else:
            with pytest.raises(errors.AlreadyExists):
                self.run(self.engine.volumes.create(self._request(name, size)))

    @stateful.rule(name=NAMES, of=NAMES, more=st.integers(0, 2))
    def restore(self, name: str, of: str, more: int) -> None:
        snapshot = self.snapshots.get(of)
        if snapshot is not None:
            self._make_from(name, Source(kind="snapshot", id=snapshot.id), snapshot, more)

    @stateful.rule(name=NAMES, of=NAMES, more=st.integers(0, 2))
    def clone(self, name: str, of: str, more: int) -> None:
        origin = self.volumes.get(of)
        if origin is not None and name != of:
            self._make_from(name, Source(kind="volume", id=origin.id), origin, more)

    def _make_from(self, name: str, source: Source, origin: Known, more: int) -> None:
        size = origin.size + more * 2 * MIB
        known = self.volumes.get(name)
        request = self._request(name, size, source)
        if known is None:
            volume = self.run(self.engine.volumes.create(request))
            self.volumes[name] = Known(volume.id, size, origin.content, source)
            assert volume.size == size
        elif known.size == size and known.source == source:
            assert self.run(self.engine.volumes.create(request)).id == known.id
        else:
            with pytest.raises(errors.AlreadyExists):
                self.run(self.engine.volumes.create(request))

    @stateful.rule(name=NAMES, of=NAMES)
    def snapshot(self, name: str, of: str) -> None:
        source = self.volumes.get(of)
        if source is None:
            return
        request = SnapshotRequest(name=name, source_id=source.id)
        known = self.snapshots.get(name)
        if known is not None and known.origin != source.id:
            with pytest.raises(errors.AlreadyExists):
                self.run(self.engine.snapshots.create(request))
            return
        snapshot = self.run(self._cut(request))
        if known is None:
            self.snapshots[name] = Known(snapshot.id, snapshot.size, source.content, origin=source.id)
        else:
            assert snapshot.id == known.id

    async def _cut(self, request: SnapshotRequest) -> Any:
        while not (snapshot := await self.engine.snapshots.create(request)).ready:
            await asyncio.sleep(0.005)
        return snapshot

    @stateful.rule(name=NAMES)
    def write(self, name: str) -> None:
        if name in self.volumes:
            self._write(self.volumes[name])

    @stateful.rule(name=NAMES, more=st.integers(0, 2))
    def expand(self, name: str, more: int) -> None:
        if known := self.volumes.get(name):
            wanted = known.size + more * 2 * MIB
            volume, _ = self.run(self.engine.volumes.expand(known.id, SizeRange(required=wanted)))
            assert volume.size == wanted
            known.size = wanted

    @stateful.rule(name=NAMES)
    def delete(self, name: str) -> None:
        if known := self.volumes.pop(name, None):
            self.run(self.engine.volumes.delete(known.id))
            self.run(self.engine.volumes.delete(known.id))

    @stateful.rule(name=NAMES)
    def delete_snapshot(self, name: str) -> None:
        if known := self.snapshots.pop(name, None):
            self.run(self.engine.snapshots.delete(known.id))

    @stateful.rule()
    def restart(self) -> None:
        self.run(self.engine.stop())
        self.engine = self._start()

    @stateful.invariant()
    def lists_are_what_the_model_says(self) -> None:
        page_size = 2
        listed, token = [], ""
        while True:
            page = self.run(self.engine.volumes.page(token, page_size))
            listed += [entry.volume for entry in page.entries]
            token = page.next_token
            if not token:
                break
        assert {volume.id: volume.size for volume in listed} == {one.id: one.size for one in self.volumes.values()}
        snapshots = self.run(self.engine.snapshots.page("", 0)).entries
        assert {one.id for one in snapshots} == {one.id for one in self.snapshots.values()}
        reserved = self._pool().capacity.reserved
        assert reserved >= sum(one.size for one in self.volumes.values())

    @stateful.rule(name=NAMES)
    def content_is_what_was_written(self, name: str) -> None:
        if known := self.volumes.get(name):
            assert self._read(known) == known.content

    @stateful.rule()
    def the_doctor_finds_nothing(self) -> None:
        async def look() -> list[str]:
            while self.engine.tasks.all(include_finished=False):
                await asyncio.sleep(0.005)
            return [one.kind async for one in self.engine.doctor.examine(repair=False)]

        assert self.run(look()) == []


def test_any_life_matches_the_model(place: Place) -> None:
    """Rule: exact idempotency, snapshots outlive their volume, copies hold what their source held."""
    machine = type("Machine", (Life,), {"place": place})
    stateful.run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(
            max_examples=150 if FULL else 8,
            stateful_step_count=40 if FULL else 20,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
