"""``wipe`` really destroys: told by reading the pool's underlying device, not the volume."""

import fcntl
import mmap
import os
import subprocess
from pathlib import Path

import pytest

from driver.backends import base
from driver.host import loop, queue
from driver.model import errors
from driver.model.volume import Volume

from .pools import Filesystems, Kind
from .world import MIB, Quiet, World, only, pattern

LENGTH = 8 * MIB
SAMPLE = 64
BLKFLSBUF = 0x1261


def samples(data: bytes) -> set[bytes]:
    """The beginning of each block of some data, to be looked for at the beginning of each block of a device."""
    return {data[offset : offset + SAMPLE] for offset in range(0, len(data), 4096)}


def survivors(world: World, wanted: set[bytes]) -> int:
    """How many blocks of the underlying device still begin with one of ``wanted``, as read from the device itself."""
    world.settle()
    found = 0
    # O_DIRECT: what the page cache still holds is not what is on the device.
    fd = os.open(world.ground.device, os.O_RDONLY | os.O_DIRECT)
    try:
        if Path(world.ground.device).is_block_device():
            fcntl.ioctl(fd, BLKFLSBUF)
        end = os.lseek(fd, 0, os.SEEK_END)
        buffer = mmap.mmap(-1, 4 * MIB)
        offset = 0
        while offset < end:
            offset = (
                os.lseek(fd, offset, os.SEEK_DATA) // 4096 * 4096 if os.path.isfile(world.ground.device) else offset
            )
            os.lseek(fd, offset, os.SEEK_SET)
            count = os.readv(fd, [buffer])
            if count <= 0:
                break
            found += sum(buffer[at : at + SAMPLE] in wanted for at in range(0, count, 4096))
            offset += count
            if os.path.isfile(world.ground.device) and not _data_after(fd, offset):
                break
        buffer.close()
    finally:
        os.close(fd)
    return found


def _data_after(fd: int, offset: int) -> bool:
    try:
        os.lseek(fd, offset, os.SEEK_DATA)
    except OSError:
        return False
    return True


def secret(world: World, name: str, wipe: str) -> Volume:
    """A volume with data that is seen on the device, and that nobody uses any more."""
    volume = world.create(name, **({"wipe": wipe} if wipe != "none" else {}))
    world.write(volume, pattern(name, LENGTH))
    world.idle(volume)
    assert survivors(world, samples(pattern(name, LENGTH))) >= LENGTH // 4096
    return volume


def test_discard_leaves_nothing_on_the_device(world: World) -> None:
    """``wipe=discard``: blocks given back, then the free blocks discarded, both done when the purge returns."""
    volume = secret(world, "discarded", "discard")
    world.purge(volume, "t1", "discard")
    assert survivors(world, samples(pattern("discarded", LENGTH))) == 0


@only(lambda kind: kind.name in ("image-ext4", "directory-ext4"))
def test_zero_leaves_nothing_on_the_device(world: World) -> None:
    """``wipe=zero``: every block overwritten where it lies; what others have stays."""
    other = secret(world, "other", "none")
    volume = secret(world, "zeroed", "zero")
    world.purge(volume, "t1", "zero")
    assert survivors(world, samples(pattern("zeroed", LENGTH))) == 0
    assert world.read(other, LENGTH) == pattern("other", LENGTH)


@only(lambda kind: kind.name == "image-ext4")
def test_zero_reaches_blocks_its_user_gave_back(world: World) -> None:
    """``wipe=zero``: a discard by the user gives no block of such a volume back, so that it is overwritten at the end."""
    assert isinstance(world.backend, base.Devices)
    volume = secret(world, "zeroed", "zero")
    subprocess.run(["blkdiscard", "-f", world.backend.attach(volume)], check=False, capture_output=True)
    world.idle(volume)
    world.purge(volume, "t1", "zero")
    assert survivors(world, samples(pattern("zeroed", LENGTH))) == 0


@only(lambda kind: kind.shares or kind.name == "directory-xfs")
def test_zero_is_refused_where_extents_may_be_shared(world: World) -> None:
    """The zeros would be written beside the data: InvalidArgument naming the key, at create and at modify."""
    with pytest.raises(errors.InvalidArgument, match="zero"):
        world.volume(wipe="zero")
    assert isinstance(world.backend, base.Attributes)
    with pytest.raises(errors.InvalidArgument, match="zero"):
        world.backend.checked_attributes(world.volume(), {"wipe": "zero"})


@only(lambda kind: kind.name in ("image-ext4", "directory-ext4"))
def test_discard_is_refused_where_the_device_below_takes_none(kind: Kind, scratch: Path) -> None:
    """``wipe=discard`` on a device without discards would promise what cannot be kept."""
    made = Filesystems(scratch / "deaf", {"ext4": 64 * MIB})
    try:
        device = made.get("ext4")[1]
        queue.forbid_discard(device)
        with kind.make(made, scratch) as ground:
            world = World(kind, ground)
            with pytest.raises(errors.InvalidArgument, match="discard"):
                world.volume(wipe="discard")
            world.backend.close()
    finally:
        made.close()
        loop.make_anew(int(device.removeprefix("/dev/loop")))


@only(lambda kind: kind.shares)
def test_a_wipe_leaves_what_a_snapshot_still_holds(world: World) -> None:
    """Shared blocks are the snapshot's as well: they go with the last that has them."""
    volume = secret(world, "shared", "discard")
    snapshot = world.cut(volume)
    world.purge(volume, "t1", "discard")
    copy = world.volume("copy")
    world.fill(copy, snapshot)
    assert world.read(copy, LENGTH) == pattern("shared", LENGTH)
    world.idle(copy)
    world.purge(copy, "t2", "discard")
    world.purge(snapshot, "t3", "discard")
    assert survivors(world, samples(pattern("shared", LENGTH))) == 0


@only(lambda kind: kind.backend == "image")
def test_a_stopped_wipe_goes_on_where_it_must(world: World) -> None:
    """A wipe that was stopped and begun again is as thorough as one in one go."""
    wipe = "discard" if world.kind.shares else "zero"
    volume = secret(world, "stopped", wipe)
    world.trash(volume, "t1")
    world.backend.ensure_purged(volume, "t1", wipe, Quiet(patience=0))
    world.reopen()
    world.backend.ensure_purged(volume, "t1", wipe, Quiet())
    assert survivors(world, samples(pattern("stopped", LENGTH))) == 0
