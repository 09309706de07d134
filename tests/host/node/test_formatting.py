"""A filesystem is made once, on nothing, and never over anything."""

import os
import subprocess
from pathlib import Path

import pytest

from driver.backends import base
from driver.host import effect, loop
from driver.model import errors
from driver.model.capability import Capability
from driver.model.sizes import MIB
from driver.model.snapshot import SnapshotRequest
from driver.model.volume import Source, Volume
from driver.node import formatting

from . import rig

EXT4, XFS, BTRFS, BLOCK = rig.KINDS[:4]
FORMATTED = [EXT4, XFS, BTRFS]


class Seen:
    """Counts effects by name."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def before(self, name: str, args: tuple[object, ...]) -> None:
        self.names.append(name)

    def after(self, name: str, args: tuple[object, ...]) -> None:
        pass


def _attach(node: rig.Node, volume: Volume) -> str:
    backend = node.engine.pools.of(volume.id).backend
    assert isinstance(backend, base.Devices)
    return backend.attach(volume)


def _content(node: rig.Node, volume: Volume, device: str = "") -> bytes:
    """The bytes of the volume's image, with what was written to ``device`` so far."""
    if device:
        subprocess.run(["blockdev", "--flushbufs", device], check=True)
    return next(node.pool.rglob(f"{volume.id}*.img")).read_bytes()


@pytest.mark.parametrize("kind", FORMATTED, ids=lambda kind: kind.name)
async def test_only_the_first_stage_formats(image_node: rig.Node, kind: rig.Kind) -> None:
    """mkfs runs at the first stage, with the UUID that follows from the volume's id, and never again; later stages start
    no program at all."""
    volume = await image_node.create("new", kind)
    staging = image_node.staging("s")
    seen = Seen()
    effect.install(seen)
    try:
        for _ in range(3):
            await image_node.plugin.stage(volume.id, staging, kind.capability)
            await image_node.plugin.unstage(volume.id, staging)
    finally:
        effect.uninstall()
    assert seen.names.count("filesystem.make") == 1
    assert (await image_node.engine.volumes.get(volume.id)).formatted
    device = _attach(image_node, await image_node.engine.volumes.get(volume.id))
    found = subprocess.run(
        ["blkid", "-p", "-o", "value", "-s", "UUID", device], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == formatting.uuid_of(volume.id)


async def test_a_block_volume_is_never_formatted(image_node: rig.Node) -> None:
    """Raw block: what lies on it is its user's business; from the first stage on it does not count as empty."""
    volume = await image_node.create("raw", BLOCK)
    staging = image_node.staging("s")
    seen = Seen()
    effect.install(seen)
    try:
        await image_node.plugin.stage(volume.id, staging, BLOCK.capability)
    finally:
        effect.uninstall()
    assert "filesystem.make" not in seen.names
    assert (await image_node.engine.volumes.get(volume.id)).formatted


@pytest.mark.parametrize("what", ["bytes", "another ext4", "xfs", "swap"])
async def test_data_on_a_volume_recorded_as_new_is_kept(image_node: rig.Node, what: str) -> None:
    """No proof of emptiness, no mkfs: a clear refusal, and every byte is where it was."""
    volume = await image_node.create("odd", EXT4)
    device = _attach(image_node, volume)
    match what:
        case "bytes":
            subprocess.run(["dd", "if=/dev/urandom", f"of={device}", "bs=4096", "count=4", "seek=100"], check=True,
                           capture_output=True)  # fmt: skip
        case "another ext4":
            subprocess.run(["mkfs.ext4", "-q", "-F", device], check=True)
        case "xfs":
            subprocess.run(["mkfs.ext4", "-q", "-F", device], check=True)
            subprocess.run(["mkfs.btrfs", "-q", "-f", "-m", "single", "-M", device], check=True)
        case "swap":
            subprocess.run(["mkswap", device], check=True, capture_output=True)
    before = _content(image_node, volume, device)
    for _ in range(2):
        with pytest.raises(errors.FailedPrecondition, match="not formatted over"):
            await image_node.plugin.stage(volume.id, image_node.staging("s"), EXT4.capability)
    assert _content(image_node, volume) == before
    assert image_node.engine.uses.of(volume.id) is None
    assert not [one for one in loop.all_devices() if one.backing_path.startswith(f"{image_node.pool}/")]


async def test_a_record_that_forgot_the_formatting_costs_no_data(image_node: rig.Node) -> None:
    """A ledger put back from an old copy: the filesystem with this volume's own UUID is kept."""
    volume = await image_node.create("old", EXT4)
    staging, target = image_node.staging("s"), image_node.target("t")
    await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    await image_node.plugin.publish(volume.id, target, staging, EXT4.capability)
    rig.write(target, "precious")
    await image_node.plugin.unpublish(volume.id, target)
    await image_node.plugin.unstage(volume.id, staging)
    await image_node.engine.volumes.update(volume.id, formatted=False)
    await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    assert rig.read(staging) == "precious"


@pytest.mark.parametrize("kind", FORMATTED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("left", ["nothing", "part", "whole"])
async def test_an_mkfs_that_was_cut_off_is_done_over(image_node: rig.Node, kind: rig.Kind, left: str) -> None:
    """Our own mark says that mkfs had begun on an empty volume and that nobody got it since: what it left is cleared."""
    volume = await image_node.create("cut", kind)
    backend = image_node.engine.pools.of(volume.id).backend
    device = _attach(image_node, volume)
    mark = Path(backend.home) / "formatting" / volume.id
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    if left == "part":
        subprocess.run(["dd", "if=/dev/urandom", f"of={device}", "bs=4096", "count=8", "seek=16384"], check=False,
                       capture_output=True)  # fmt: skip
        subprocess.run(["dd", "if=/dev/urandom", f"of={device}", "bs=4096", "count=8", "seek=300"], check=True,
                       capture_output=True)  # fmt: skip
    elif left == "whole":
        option = {"ext4": ["-q", "-U"], "xfs": ["-q", "-m"], "btrfs": ["-q", "-U"]}[kind.capability.fs_type]
        own = formatting.uuid_of(volume.id)
        value = f"uuid={own}" if kind == XFS else own
        subprocess.run([f"mkfs.{kind.capability.fs_type}", *option, value, device], check=True, capture_output=True)
    await image_node.plugin.stage(volume.id, image_node.staging("s"), kind.capability)
    assert not mark.exists()
    assert (await image_node.engine.volumes.get(volume.id)).formatted


async def test_the_mark_never_clears_a_strangers_filesystem(image_node: rig.Node) -> None:
    """A signature that our mkfs would not have made is beyond the mark's word."""
    volume = await image_node.create("cut", EXT4)
    backend = image_node.engine.pools.of(volume.id).backend
    device = _attach(image_node, volume)
    mark = Path(backend.home) / "formatting" / volume.id
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    subprocess.run(["mkfs.ext4", "-q", "-F", device], check=True)
    before = _content(image_node, volume, device)
    with pytest.raises(errors.FailedPrecondition, match="not formatted over"):
        await image_node.plugin.stage(volume.id, image_node.staging("s"), EXT4.capability)
    assert _content(image_node, volume) == before


async def test_a_stale_mark_beside_a_formatted_volume_means_nothing(image_node: rig.Node) -> None:
    """A death after the record was written and before the mark was removed: the data stays, the mark goes."""
    volume = await image_node.create("stale", EXT4)
    staging = image_node.staging("s")
    await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    rig.write(staging, "precious")
    await image_node.plugin.unstage(volume.id, staging)
    mark = Path(image_node.engine.pools.of(volume.id).backend.home) / "formatting" / volume.id
    mark.touch()
    await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    assert rig.read(staging) == "precious"
    assert not mark.exists()


async def test_an_mkfs_still_running_is_waited_for(image_node: rig.Node) -> None:
    """A killed driver's mkfs lives on: while it holds the device, nothing is cleared under it."""
    volume = await image_node.create("cut", EXT4)
    backend = image_node.engine.pools.of(volume.id).backend
    device = _attach(image_node, volume)
    mark = Path(backend.home) / "formatting" / volume.id
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    subprocess.run(["dd", "if=/dev/urandom", f"of={device}", "bs=4096", "count=8", "seek=300"], check=True,
                   capture_output=True)  # fmt: skip
    holder = os.open(device, os.O_RDWR | os.O_EXCL)
    try:
        with pytest.raises(errors.DomainError):
            await image_node.plugin.stage(volume.id, image_node.staging("s"), EXT4.capability)
        backend_sees = image_node.engine.pools.of(volume.id).backend
        assert isinstance(backend_sees, base.Devices)
        assert not backend_sees.is_blank(volume)
    finally:
        os.close(holder)
    await image_node.plugin.stage(volume.id, image_node.staging("s"), EXT4.capability)


async def test_a_missing_image_of_a_new_volume_is_made_again(image_node: rig.Node) -> None:
    """Empty volumes are not synced when they are made; a power cut may lose the file but not the volume."""
    volume = await image_node.create("new", EXT4)
    next(image_node.pool.rglob(f"{volume.id}*.img")).unlink()
    await image_node.plugin.stage(volume.id, image_node.staging("s"), EXT4.capability)


async def test_a_missing_image_of_a_used_volume_is_an_error_not_a_new_volume(image_node: rig.Node) -> None:
    """Lost data is said to be lost."""
    volume = await image_node.create("used", EXT4)
    staging = image_node.staging("s")
    await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    await image_node.plugin.unstage(volume.id, staging)
    next(image_node.pool.rglob(f"{volume.id}*.img")).unlink()
    with pytest.raises(errors.DataDamaged, match="missing"):
        await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    assert image_node.engine.uses.of(volume.id) is None


@pytest.mark.parametrize("kind", FORMATTED, ids=lambda kind: kind.name)
async def test_a_filesystem_that_does_not_mount_is_an_error_not_a_new_one(image_node: rig.Node, kind: rig.Kind) -> None:
    """A failed mount names its cause; what is left of the data stays for a person."""
    volume = await image_node.create("hurt", kind)
    staging = image_node.staging("s")
    await image_node.plugin.stage(volume.id, staging, kind.capability)
    await image_node.plugin.unstage(volume.id, staging)
    device = _attach(image_node, await image_node.engine.volumes.get(volume.id))
    with open(device, "r+b") as file:
        file.write(b"\xff" * 128 * 1024)
        os.fsync(file.fileno())
    before = _content(image_node, volume, device)
    with pytest.raises((errors.HostFailed, errors.DataDamaged)):
        await image_node.plugin.stage(volume.id, staging, kind.capability)
    assert _content(image_node, volume) == before
    assert image_node.engine.uses.of(volume.id) is None


async def test_an_unclean_ext4_is_checked_before_it_is_mounted(image_node: rig.Node) -> None:
    """What e2fsck may mend without asking is mended, and the volume comes up."""
    volume = await image_node.create("unclean", EXT4)
    staging = image_node.staging("s")
    await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    rig.write(staging, "kept")
    await image_node.plugin.unstage(volume.id, staging)
    device = _attach(image_node, await image_node.engine.volumes.get(volume.id))
    subprocess.run(["debugfs", "-w", "-R", "ssv state 2", device], check=True, capture_output=True)
    subprocess.run(
        ["debugfs", "-w", "-R", "set_inode_field file links_count 7", device], check=True, capture_output=True
    )
    await image_node.plugin.stage(volume.id, staging, EXT4.capability)
    assert os.stat(f"{staging}/file").st_nlink == 1
    assert rig.read(staging) == "kept"


@pytest.mark.parametrize(("kind", "size"), [(EXT4, 64 * MIB), (XFS, 300 * MIB)], ids=["ext4-64MiB", "xfs-300MiB"])
async def test_origin_and_clone_are_staged_together_after_a_snapshot(
    image_node: rig.Node, kind: rig.Kind, size: int
) -> None:
    """Create, snapshot, unstage, stage both again: the loop device's block size must not change with the first reflink."""
    volume = await image_node.create("origin", kind, size=size)
    staging = image_node.staging("origin")
    await image_node.plugin.stage(volume.id, staging, kind.capability)
    rig.write(staging, "shared")
    snapshot = await image_node.engine.snapshots.create(SnapshotRequest("snap", volume.id))
    await image_node.plugin.unstage(volume.id, staging)
    clone = await image_node.create("clone", kind, size=size, source=Source("snapshot", snapshot.id))
    other = image_node.staging("clone")
    await image_node.plugin.stage(volume.id, staging, kind.capability)
    await image_node.plugin.stage(clone.id, other, kind.capability)
    assert rig.read(staging) == rig.read(other) == "shared"
    rig.write(other, "apart")
    assert rig.read(staging) == "shared"


async def test_a_clone_of_a_volume_that_was_never_staged_is_formatted_as_its_own(image_node: rig.Node) -> None:
    """What was never formatted stays so in snapshots and restores: both get a filesystem, each its own."""
    volume = await image_node.create("origin", EXT4)
    snapshot = await image_node.engine.snapshots.create(SnapshotRequest("snap", volume.id))
    clone = await image_node.create("clone", EXT4, source=Source("snapshot", snapshot.id))
    for name, one in (("origin", volume), ("clone", clone)):
        await image_node.plugin.stage(one.id, image_node.staging(name), Capability("mount", rig.WRITER, "ext4"))
        rig.write(image_node.staging(name), name)
