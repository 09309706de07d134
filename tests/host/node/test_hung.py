"""Volumes on a FUSE filesystem that stops answering: whoever asks for them waits, and nobody else does.

The FUSE daemon is Debian's bindfs, stopped by SIGSTOP: the kernel waits for it as it would for a dead server.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from driver.model import errors
from driver.model.capability import Capability
from tests import fuse as fuse_filesystem
from tests.fuse import Fuse

from . import rig

MOUNT = Capability("mount", rig.WRITER)
KIND = rig.Kind("fuse", "fuse", "directory", MOUNT)


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[Fuse]:
    """A FUSE mount and the pid of its daemon."""
    with fuse_filesystem.mounted(tmp_path) as made:
        yield made


@pytest.fixture
async def hanging(tmp_path: Path, fuse: Fuse) -> AsyncIterator[rig.Node]:
    """A node whose pool lies on that mount, with few threads and little patience."""
    root = tmp_path / "node"
    root.mkdir()
    node = rig.Node(root, fuse[0], "directory")
    node.config = msgspec.structs.replace(node.config, pool_patience=1.0, pool_threads=2)
    await node.start()
    yield node
    os.kill(fuse[1], signal.SIGCONT)
    await node.stop()
    rig.clear(root)


async def _longest_gap(until: asyncio.Event) -> float:
    """Seconds that the event loop was held up at most."""
    longest, last = 0.0, time.monotonic()
    while not until.is_set():
        await asyncio.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return longest


async def test_a_hung_volume_holds_up_nothing_but_itself(hanging: rig.Node, fuse: Fuse) -> None:
    """stats, health, publish and unpublish of a dead mount wait in the pool's own threads, end with UNAVAILABLE, and work
    again once the filesystem answers."""
    volume = await hanging.create("hung", KIND)
    staging, target = hanging.staging("s"), hanging.target("t")
    await hanging.plugin.stage(volume.id, staging, MOUNT)
    await hanging.plugin.publish(volume.id, target, staging, MOUNT)
    rig.write(target, "kept")
    os.kill(fuse[1], signal.SIGSTOP)
    ended = asyncio.Event()
    watch = asyncio.ensure_future(_longest_gap(ended))
    calls = [
        asyncio.ensure_future(call)
        for _ in range(4)
        for call in (
            hanging.plugin.stats(volume.id, target),
            hanging.plugin.health(volume.id, target),
            hanging.plugin.publish(volume.id, hanging.target("t2"), staging, MOUNT),
        )
    ]
    await asyncio.wait(calls, timeout=4)
    refused = [call for call in calls if call.done() and isinstance(call.exception(), errors.Unavailable)]
    assert refused
    found = await hanging.plugin.health(volume.id)
    assert "PoolUnreachable" in {one.reason for one in found}
    ended.set()
    assert await watch < 1.0
    os.kill(fuse[1], signal.SIGCONT)
    await asyncio.wait(calls, timeout=10)
    assert all(call.done() for call in calls)
    for call in calls:
        assert call.exception() is None or isinstance(call.exception(), errors.Unavailable)
    until = time.monotonic() + 10
    while True:
        try:
            await hanging.plugin.stats(volume.id, target)
            break
        except errors.Unavailable:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
    await hanging.plugin.publish(volume.id, hanging.target("t2"), staging, MOUNT)
    assert rig.read(hanging.target("t2")) == "kept"
    assert await hanging.plugin.health(volume.id) == []
    for path in (target, hanging.target("t2")):
        await hanging.plugin.unpublish(volume.id, path)
    await hanging.plugin.unstage(volume.id, staging)


async def test_a_dead_filesystem_below_is_unmounted_all_the_same(hanging: rig.Node, fuse: Fuse) -> None:
    """The daemon is gone for good (ENOTCONN): unpublish and unstage do not look before they unmount."""
    volume = await hanging.create("dead", KIND)
    staging, target = hanging.staging("s"), hanging.target("t")
    await hanging.plugin.stage(volume.id, staging, MOUNT)
    await hanging.plugin.publish(volume.id, target, staging, MOUNT)
    os.kill(fuse[1], signal.SIGKILL)
    await asyncio.sleep(0.2)
    found = {one.reason for one in await hanging.plugin.health(volume.id)}
    assert "FilesystemUnreachable" in found
    await hanging.plugin.unpublish(volume.id, target)
    await hanging.plugin.unstage(volume.id, staging)
    assert not os.path.lexists(target)
    assert not os.path.ismount(staging)
    assert hanging.engine.uses.of(volume.id) is None
