"""Every operation, killed after every call to the host, then a new process and the same call again.

Nothing may be lost, orphaned or doubled: the retry succeeds, says the same as an undisturbed run, the doctor finds nothing
to complain of, and what lies in the pool is exactly what the ledger says.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from driver.engine.engine import Engine
from driver.host import effect
from driver.model.capability import Capability
from driver.model.config import Config
from driver.model.pool import PoolConfig
from driver.model.sizes import MIB, SizeRange
from driver.model.snapshot import GroupRequest, SnapshotRequest
from driver.model.volume import Source, VolumeRequest

from . import death
from .places import Place

MOUNT = Capability(access="mount")
SIZE = SizeRange(required=8 * MIB)
FULL = os.environ.get("HOLDALL_PROOF") == "full"
STRIDE = 1 if FULL else 4
"""Every call is a point to die at; the slice takes every fourth, beginning anywhere."""


def _request(name: str, source: Source | None = None, size: SizeRange = SIZE) -> VolumeRequest:
    return VolumeRequest(name=name, capabilities=(MOUNT,), size=size, source=source)


async def _create(engine: Engine, name: str) -> str:
    return (await engine.volumes.create(_request(name))).id


async def _snapshot(engine: Engine, name: str, source: str) -> str:
    while True:
        snapshot = await engine.snapshots.create(SnapshotRequest(name=name, source_id=source))
        if snapshot.ready:
            return snapshot.id
        await asyncio.sleep(0.01)


# Each operation: what must be there before, and the call itself, which is repeated after the death.


async def _prepare_nothing(engine: Engine, name: str) -> str:
    return ""


async def _prepare_volume(engine: Engine, name: str) -> str:
    return await _create(engine, f"{name}-base")


async def _prepare_snapshot(engine: Engine, name: str) -> str:
    return await _snapshot(engine, f"{name}-base-snap", await _create(engine, f"{name}-base"))


async def _prepare_group(engine: Engine, name: str) -> str:
    members = tuple([await _create(engine, f"{name}-{i}") for i in "ab"])
    return (await engine.groups.create(GroupRequest(f"{name}-group", members))).group.id


async def _do_create(engine: Engine, name: str, subject: str) -> object:
    return await _create(engine, name)


async def _do_delete(engine: Engine, name: str, subject: str) -> object:
    return await engine.volumes.delete(subject)


async def _do_replace(engine: Engine, name: str, subject: str) -> object:
    await engine.volumes.delete(subject)
    return await _create(engine, f"{name}-base")


async def _do_snapshot(engine: Engine, name: str, subject: str) -> object:
    return await _snapshot(engine, f"{name}-snap", subject)


async def _do_delete_snapshot(engine: Engine, name: str, subject: str) -> object:
    return await engine.snapshots.delete(subject)


async def _do_clone(engine: Engine, name: str, subject: str) -> object:
    bigger = SizeRange(required=12 * MIB)
    volume = await engine.volumes.create(_request(f"{name}-clone", Source(kind="volume", id=subject), bigger))
    return volume.id, volume.size


async def _do_restore(engine: Engine, name: str, subject: str) -> object:
    return (await engine.volumes.create(_request(f"{name}-restored", Source(kind="snapshot", id=subject)))).id


async def _do_expand(engine: Engine, name: str, subject: str) -> object:
    return (await engine.volumes.expand(subject, SizeRange(required=16 * MIB)))[0].size


CHANGES = {"image": {"provisioning": "thick"}, "btrfs": {"compression": "zstd"}, "directory": {"wipe": "zero"}}


async def _do_modify(engine: Engine, name: str, subject: str) -> object:
    return await engine.volumes.modify(subject, CHANGES[engine.pools.all()[0].backend.kind])


async def _do_grant(engine: Engine, name: str, subject: str) -> object:
    return await engine.grants.publish(subject, "node-a", MOUNT, False)


async def _do_group(engine: Engine, name: str, subject: str) -> object:
    second = await _create(engine, f"{name}-second")
    view = await engine.groups.create(GroupRequest(f"{name}-group", (subject, second)))
    return view.group.id, sorted(one.id for one in view.snapshots)


async def _do_delete_group(engine: Engine, name: str, subject: str) -> object:
    return await engine.groups.delete(subject, ())


Prepare = Callable[[Engine, str], Awaitable[str]]
Do = Callable[[Engine, str, str], Awaitable[object]]
OPERATIONS: dict[str, tuple[Prepare, Do]] = {
    "create": (_prepare_nothing, _do_create),
    "delete": (_prepare_volume, _do_delete),
    "replace": (_prepare_volume, _do_replace),
    "snapshot": (_prepare_volume, _do_snapshot),
    "delete-snapshot": (_prepare_snapshot, _do_delete_snapshot),
    "clone": (_prepare_volume, _do_clone),
    "restore": (_prepare_snapshot, _do_restore),
    "expand": (_prepare_volume, _do_expand),
    "modify": (_prepare_volume, _do_modify),
    "grant": (_prepare_volume, _do_grant),
}
GROUP_OPERATIONS: dict[str, tuple[Prepare, Do]] = {
    "group": (_prepare_volume, _do_group),
    "delete-group": (_prepare_group, _do_delete_group),
}


def _config(place: Place, state: Path) -> Config:
    return Config(
        node_id="node-a",
        state_dir=str(state),
        pools=(PoolConfig(name="pool", backend=place.backend, path=str(place.path), options=place.options),),
    )


async def _settled(engine: Engine) -> None:
    """The purge Task and copies have ended."""
    while engine.tasks.all(include_finished=False):
        await asyncio.sleep(0.005)


async def _complaints(engine: Engine) -> list[str]:
    found = [finding async for finding in engine.doctor.examine(repair=False)]
    return [f"{one.kind}: {one.explanation}" for one in found if one.kind != "PoolNearlyFull"]


def _prepared(config: Config, prepare: Prepare, name: str) -> str:
    async def body() -> str:
        engine = Engine(config)
        await engine.start()
        subject = await prepare(engine, name)
        await _settled(engine)
        await engine.stop()
        return subject

    code, subject = death.in_child(body)
    assert code == 0, "the preparation itself failed"
    return str(subject)


def _killed(config: Config, do: Do, name: str, subject: str, point: int, before: bool) -> bool:
    """Whether the process died in the call; False when it had fewer effects than ``point``."""

    async def body() -> None:
        engine = Engine(config)
        await engine.start()
        death.arm(point, before=before)
        await do(engine, name, subject)
        await _settled(engine)
        effect.uninstall()
        await engine.stop()

    code, _ = death.in_child(body)
    assert code in (0, death.DIED), "the call failed by itself"
    return code == death.DIED


def _healed(config: Config, do: Do, name: str, subject: str) -> tuple[object, list[str]]:
    async def body() -> tuple[object, list[str]]:
        engine = Engine(config)
        await engine.start()
        first = await do(engine, name, subject)
        again = await do(engine, name, subject)
        assert first == again
        await _settled(engine)
        complaints = await _complaints(engine)
        await engine.stop()
        return first, complaints

    code, outcome = death.in_child(body)
    assert code == 0, "the retry failed"
    return outcome


def _operations(place: Place) -> dict[str, tuple[Prepare, Do]]:
    return OPERATIONS | (GROUP_OPERATIONS if place.shares else {})


@pytest.mark.parametrize("operation", sorted(OPERATIONS | GROUP_OPERATIONS))
def test_killed_at_any_call_the_retry_heals_everything(place: Place, operation: str, tmp_path: Path) -> None:
    """Rule: every step looks before it acts, so a crash between any two heals on retry."""
    if operation not in _operations(place):
        assert not place.shares
        return
    prepare, do = _operations(place)[operation]
    config = _config(place, tmp_path / "state")
    points = 0
    for before in (False, True) if FULL else (False,):
        point = random.randint(1, STRIDE)
        while True:
            name = f"{operation}-{before}-{point}"
            subject = _prepared(config, prepare, name)
            if not _killed(config, do, name, subject, point, before):
                break
            _, complaints = _healed(config, do, name, subject)
            assert complaints == [], f"after a death at effect {point} of {operation}"
            points += 1
            point += STRIDE
    assert points > 0 or not FULL, f"{operation} has no effect to die at: the test proves nothing"
