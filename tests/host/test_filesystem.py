"""Filesystems: made only where nothing is, grown, checked, and told apart from their copies."""

import os
import subprocess
from pathlib import Path

import pytest

from driver.host import extents, filesystem, freeze, fsprobe, loop, mounts, reflink, superblock
from driver.model.errors import DataDamaged, FailedPrecondition, InvalidArgument, OutOfRange

from .scratch import SIZES, Scratch, Volume

MIB = 1 << 20
TYPES = ("ext4", "xfs", "btrfs")
CAP_SYS_RESOURCE = 24


@pytest.fixture(params=TYPES)
def fs_type(request: pytest.FixtureRequest) -> str:
    """Each type."""
    return str(request.param)


def _may_grow_mounted_ext4() -> bool:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)


def _block_size(path: str) -> int:
    return os.statvfs(path).f_bsize


def test_a_filesystem_has_blocks_of_4096_bytes_and_the_uuid_asked_for(scratch: Scratch, fs_type: str) -> None:
    """The block size of its loop device, for life."""
    uuid = "01234567-89ab-4cde-8f01-23456789abcd"
    device = loop.attach(scratch.image(SIZES[fs_type]))
    filesystem.make(device.path, fs_type, uuid=uuid)
    found = fsprobe.signature(device.path)
    assert found is not None
    assert (found.kind, found.uuid) == (fs_type, uuid)
    target = scratch.directory()
    mounts.ensure_mounted(device.path, target, fs_type)
    assert _block_size(target) == 4096


@pytest.mark.parametrize("found", TYPES)
def test_what_holds_a_signature_is_never_formatted(scratch: Scratch, fs_type: str, found: str) -> None:
    """Whatever the caller believes. The data is still there after the refusal."""
    made = scratch.formatted(found, 320 * MIB)
    before = superblock.read(made.device.path, found), fsprobe.signature(made.device.path)
    with pytest.raises(FailedPrecondition, match=f"holds {found}"):
        filesystem.make(made.device.path, fs_type)
    assert (superblock.read(made.device.path, found), fsprobe.signature(made.device.path)) == before


def test_the_smallest_device_takes_a_filesystem_and_a_smaller_one_is_out_of_range(
    scratch: Scratch, fs_type: str
) -> None:
    """So that a create can round up, or refuse, before anything is made."""
    least = filesystem.minimum_size(fs_type)
    device = loop.attach(scratch.image(least))
    filesystem.make(device.path, fs_type, zeroed=True)
    target = scratch.directory()
    mounts.ensure_mounted(device.path, target, fs_type)
    Path(target, "f").write_bytes(b"x" * 8192)
    with pytest.raises(OutOfRange, match=str(least)):
        filesystem.make(loop.attach(scratch.image(least - 4096)).path, fs_type)


def test_the_minima_are_those_of_the_programs() -> None:
    """ext4 1 MiB, xfs 300 MiB, btrfs 110 MiB."""
    assert [filesystem.minimum_size(name) for name in TYPES] == [MIB, 300 * MIB, 110 * MIB]
    with pytest.raises(InvalidArgument, match="ext4, xfs, btrfs"):
        filesystem.minimum_size("ntfs")


def test_an_ext4_made_on_zeros_stays_sparse_after_its_mount(scratch: Scratch) -> None:
    """The kernel would write the inode tables, 1.6 % of the volume, in the background otherwise."""
    made = scratch.formatted("ext4", 2 << 30)
    out = subprocess.run(["dumpe2fs", made.device.path], check=True, capture_output=True, text=True).stdout
    assert out.count("ITABLE_ZEROED") == out.count("Inode table at")
    assert extents.allocated_bytes(made.image) < 4 * MIB


def test_making_takes_no_blocks_from_a_preallocated_image(scratch: Scratch, fs_type: str) -> None:
    """mkfs likes to discard the whole device first, which would make a thick volume thin."""
    image = scratch.image(SIZES[fs_type])
    os.posix_fallocate(fd := os.open(image, os.O_RDWR), 0, SIZES[fs_type])
    os.close(fd)
    device = loop.attach(image)
    filesystem.make(device.path, fs_type, zeroed=True)
    assert extents.allocated_bytes(image) >= SIZES[fs_type]


def test_the_size_is_told_mounted_and_not(scratch: Scratch, fs_type: str) -> None:
    """The same, and all of the device."""
    made = scratch.formatted(fs_type)
    assert filesystem.size_of(made.device.path, fs_type) == SIZES[fs_type]
    mounts.ensure_mounted(made.device.path, made.path, fs_type)
    assert filesystem.size_of(made.path, fs_type) == SIZES[fs_type]
    assert filesystem.fills(made.path, made.device.path, fs_type)


def _enlarge(made: Volume, size: int) -> None:
    os.truncate(made.image, size)
    loop.refresh_size(made.device)


@pytest.mark.parametrize("name", ["xfs", "btrfs"])
def test_a_mounted_filesystem_grows_with_its_device(scratch: Scratch, name: str) -> None:
    """Its size is told at once, and a repeat changes nothing."""
    made = scratch.mounted(name)
    _enlarge(made, 2 * SIZES[name])
    assert not filesystem.fills(made.path, made.device.path, name)
    for _ in range(2):
        filesystem.grow(made.path, made.device.path, name)
        assert filesystem.size_of(made.path, name) == 2 * SIZES[name]


def test_a_mounted_ext4_grows_where_the_process_may_and_says_so_where_not(scratch: Scratch) -> None:
    """The kernel wants CAP_SYS_RESOURCE; without it the remedy is named, and the filesystem is as before."""
    made = scratch.mounted("ext4")
    _enlarge(made, 2 * SIZES["ext4"])
    if _may_grow_mounted_ext4():
        filesystem.grow(made.path, made.device.path, "ext4")
        assert filesystem.size_of(made.path, "ext4") == 2 * SIZES["ext4"]
    else:
        with pytest.raises(FailedPrecondition, match="CAP_SYS_RESOURCE"):
            filesystem.grow(made.path, made.device.path, "ext4")
        assert filesystem.size_of(made.path, "ext4") == SIZES["ext4"]


def test_growing_a_full_sized_ext4_asks_nothing_of_the_kernel(scratch: Scratch) -> None:
    """So that a repeat succeeds without any power."""
    made = scratch.mounted("ext4")
    filesystem.grow(made.path, made.device.path, "ext4")


@pytest.mark.parametrize(("first", "second"), [(MIB, 4 * MIB), (64 * MIB, 64 * MIB + 4096), (8 * MIB, 1 << 30)])
def test_an_unmounted_ext4_grows_by_much_or_little(scratch: Scratch, first: int, second: int) -> None:
    """With its data."""
    made = scratch.mounted("ext4", first)
    Path(made.path, "f").write_bytes(b"kept")
    mounts.ensure_unmounted(made.path)
    _enlarge(made, second)
    assert not filesystem.fills(made.device.path, made.device.path, "ext4")
    assert filesystem.grow_offline(made.device.path, "ext4")
    assert filesystem.size_of(made.device.path, "ext4") == second
    assert filesystem.grow_offline(made.device.path, "ext4")
    mounts.ensure_mounted(made.device.path, made.path, "ext4")
    assert Path(made.path, "f").read_bytes() == b"kept"


@pytest.mark.parametrize("name", ["xfs", "btrfs"])
def test_the_others_grow_mounted_only(scratch: Scratch, name: str) -> None:
    """Which is an answer, not an error."""
    made = scratch.formatted(name)
    assert filesystem.grow_offline(made.device.path, name)
    _enlarge(made, 2 * SIZES[name])
    assert not filesystem.grow_offline(made.device.path, name)


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "crash-consistent"])
def test_a_copy_with_its_own_uuid_mounts_beside_its_origin(
    scratch: Scratch, filesystems: dict[str, Path], fs_type: str, frozen: bool
) -> None:
    """Cut while mounted, with a log to replay: all that was synced is in it, and it is sound."""
    place = scratch.place(filesystems["xfs"])
    origin = scratch.mounted(fs_type, at=place)
    with open(f"{origin.path}/f", "wb") as file:
        file.write(b"kept" * 10000)
        os.fsync(file.fileno())
    copy = f"{place}/copy"
    if frozen:
        with freeze.frozen([origin.path]):
            reflink.share(origin.image, copy)
    else:
        reflink.share(origin.image, copy)
    device = loop.attach(copy)
    filesystem.check(device.path, fs_type)
    filesystem.new_uuid(device.path, fs_type)
    target = scratch.directory()
    mounts.ensure_mounted(device.path, target, fs_type)
    first, second = (fsprobe.signature(volume) for volume in (origin.device.path, device.path))
    assert first is not None
    assert second is not None
    assert first.uuid != second.uuid
    assert Path(target, "f").read_bytes() == b"kept" * 10000
    Path(target, "f").write_bytes(b"changed")
    assert Path(origin.path, "f").read_bytes() == b"kept" * 10000
    mounts.ensure_unmounted(target)
    _assert_sound(device.path, fs_type)


def _assert_sound(device: str, fs_type: str) -> None:
    program = {
        "ext4": ["e2fsck", "-f", "-n"],
        "xfs": ["xfs_repair", "-n"],
        "btrfs": ["btrfs", "check", "--readonly"],
    }[fs_type]
    subprocess.run([*program, device], check=True, capture_output=True)


def test_a_uuid_can_be_changed_again(scratch: Scratch, fs_type: str) -> None:
    """A crash after it, and the retry does it once more."""
    made = scratch.formatted(fs_type)
    seen = set()
    for _ in range(2):
        found = fsprobe.signature(made.device.path)
        assert found is not None
        seen.add(found.uuid)
        filesystem.new_uuid(made.device.path, fs_type)
    assert len(seen) == 2
    _assert_sound(made.device.path, fs_type)


def test_an_ext4_made_elsewhere_gets_its_uuid_too(scratch: Scratch) -> None:
    """Without metadata_csum_seed every checksum changes with it, and a check comes first."""
    made = scratch.image(SIZES["ext4"])
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^metadata_csum_seed", made], check=True)
    device = loop.attach(made)
    target = scratch.directory()
    for number in range(3):
        mounts.ensure_mounted(device.path, target, "ext4")
        Path(target, f"f{number}").write_bytes(b"x")
        mounts.ensure_unmounted(target)
    before = fsprobe.signature(device.path)
    filesystem.new_uuid(device.path, "ext4")
    after = fsprobe.signature(device.path)
    assert before is not None
    assert after is not None
    assert before.uuid != after.uuid
    _assert_sound(device.path, "ext4")


def test_a_clean_filesystem_passes_its_check(scratch: Scratch, fs_type: str) -> None:
    """Of every type."""
    filesystem.check(scratch.formatted(fs_type).device.path, fs_type)


def _set_errors(device: str) -> None:
    subprocess.run(["debugfs", "-w", "-R", "set_super_value state 2", device], check=True, capture_output=True)


def test_an_ext4_marked_with_errors_is_mended(scratch: Scratch) -> None:
    """As at boot: what is safe is done without asking."""
    made = scratch.formatted("ext4")
    _set_errors(made.device.path)
    assert not superblock.read(made.device.path, "ext4").clean
    filesystem.check(made.device.path, "ext4")
    assert superblock.read(made.device.path, "ext4").clean


def test_an_ext4_that_a_person_must_look_at_is_damaged(scratch: Scratch) -> None:
    """Nothing is guessed about data."""
    made = scratch.mounted("ext4")
    Path(made.path, "f").write_bytes(b"x" * 100000)
    mounts.ensure_unmounted(made.path)
    # The root directory itself is gone.
    subprocess.run(["debugfs", "-w", "-R", "clri <2>", made.device.path], check=True, capture_output=True)
    _set_errors(made.device.path)
    with pytest.raises(DataDamaged, match="e2fsck"):
        filesystem.check(made.device.path, "ext4")


def test_a_device_without_the_filesystem_is_damaged(scratch: Scratch, fs_type: str) -> None:
    """Our record said that one is there."""
    device = loop.attach(scratch.image(SIZES[fs_type]))
    for ask in (filesystem.check, filesystem.size_of, filesystem.new_uuid):
        with pytest.raises(DataDamaged, match=f"holds no {fs_type}"):
            ask(device.path, fs_type)


def test_an_unknown_type_is_an_invalid_argument(scratch: Scratch) -> None:
    """Before anything is touched."""
    device = loop.attach(scratch.image())
    with pytest.raises(InvalidArgument, match="ntfs"):
        filesystem.make(device.path, "ntfs")
    with pytest.raises(InvalidArgument, match="ntfs"):
        filesystem.check(device.path, "ntfs")
