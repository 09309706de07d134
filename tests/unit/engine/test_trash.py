"""The trash: a deleted name is free at once, and its data is never seen again, by no namesake and no second move."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from driver.engine.engine import Engine
from driver.engine.pool import Pool
from driver.host import effect
from driver.model.capability import Capability
from driver.model.config import Config
from driver.model.pool import PoolConfig
from driver.model.sizes import MIB, SizeRange
from driver.model.volume import VolumeRequest

REQUEST = VolumeRequest(name="data", capabilities=(Capability(access="mount"),), size=SizeRange(required=MIB))


class Gate:
    """Holds every rename into the trash until opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.moves: list[str] = []

    def before(self, name: str, args: tuple[object, ...]) -> None:
        if name == "files.rename" and "/trash/" in str(args[1]):
            assert self.open.wait(30.0)
            self.moves.append(str(args[1]))

    def after(self, name: str, args: tuple[object, ...]) -> None:
        pass


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    effect.install(gate)
    yield gate
    gate.open.set()
    effect.uninstall()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "pool").mkdir()
    pool = PoolConfig(name="pool", backend="directory", path=str(tmp_path / "pool"))
    return Config(node_id="node-a", state_dir=str(tmp_path / "state"), pools=(pool,))


@pytest.fixture
async def engine(config: Config) -> AsyncIterator[Engine]:
    engine = Engine(config)
    await engine.start()
    yield engine
    await engine.stop()


def place_of(engine: Engine, volume_id: str) -> Path:
    (pool,) = engine.pools.all()
    return Path(pool.config.path) / "volumes" / volume_id


async def settled(pool: Pool, engine: Engine) -> None:
    while engine.tasks.all(include_finished=False) or pool.untrashed:
        await asyncio.sleep(0.005)


async def test_a_delete_is_answered_before_its_data_is_moved(engine: Engine, gate: Gate) -> None:
    """The tombstone is the delete: a store that is slow at renaming keeps nobody waiting."""
    volume = await engine.volumes.create(REQUEST)
    await asyncio.wait_for(engine.volumes.delete(volume.id), 5.0)
    assert place_of(engine, volume.id).exists()
    assert (await engine.volumes.page("", 0)).entries == []
    gate.open.set()
    await settled(engine.pools.all()[0], engine)
    assert not place_of(engine, volume.id).exists()


async def test_a_namesake_waits_for_the_move_and_begins_empty(engine: Engine, gate: Gate) -> None:
    """What a deleted volume held is never in the volume that gets its name, and is moved once only."""
    volume = await engine.volumes.create(REQUEST)
    for number in range(5):
        gate.open.clear()
        (place_of(engine, volume.id) / "secret").write_text(f"of number {number}")
        await engine.volumes.delete(volume.id)
        creating = asyncio.ensure_future(engine.volumes.create(REQUEST))
        await asyncio.sleep(0.03)  # the purge has begun its move by now as well
        assert not creating.done()
        gate.open.set()
        again = await creating
        assert again.id == volume.id
        assert list(place_of(engine, volume.id).iterdir()) == []
        (place_of(engine, volume.id) / "kept").write_text("by the namesake")
        await settled(engine.pools.all()[0], engine)
        assert [one.name for one in place_of(engine, volume.id).iterdir()] == ["kept"]
    assert len(gate.moves) == len(set(gate.moves)) == 5


async def test_data_in_place_is_no_orphan_while_it_waits(engine: Engine, gate: Gate) -> None:
    """The doctor knows of it."""
    volume = await engine.volumes.create(REQUEST)
    (place_of(engine, volume.id) / "secret").write_text("x")
    await engine.volumes.delete(volume.id)
    assert [one async for one in engine.doctor.examine(repair=True)] == []
    gate.open.set()


async def test_a_start_moves_only_what_has_no_living_namesake(config: Config) -> None:
    """After a crash between the tombstone and the move, a retry of the create has it moved first."""
    first = Engine(config)
    await first.start()
    volume = await first.volumes.create(REQUEST)
    (place_of(first, volume.id) / "secret").write_text("x")
    await first.volumes.delete(volume.id)
    await first.volumes.create(REQUEST)
    (place_of(first, volume.id) / "kept").write_text("y")
    await first.stop()
    second = Engine(config)
    await second.start()
    await settled(second.pools.all()[0], second)
    assert [one.name for one in place_of(second, volume.id).iterdir()] == ["kept"]
    await second.stop()
