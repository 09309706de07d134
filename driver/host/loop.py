"""Loop devices: block devices whose blocks are a file's bytes (loop(4))."""

import os
from typing import NamedTuple

import msgspec

BLOCK_SIZE = 4096


class LoopDevice(msgspec.Struct, frozen=True):
    """A loop device that has a file. ``rdev`` is its device number as in st_rdev, and st_dev of files on it."""

    path: str
    number: int
    rdev: int
    direct_io: bool
    read_only: bool


class Attached(NamedTuple):
    """A loop device with the file behind it; ``backing_path`` is for people only: it may be stale or another's view."""

    device: LoopDevice
    st_dev: int
    st_ino: int
    backing_path: str
    deleted: bool


def attach(path: str, *, read_only: bool = False) -> LoopDevice:
    """The loop device of the file at ``path``, with 4096-byte blocks and, where the filesystem takes it, direct IO.

    One that already has this file (by device and inode) is used again. Raises FailedPrecondition when that one has
    another block size, offset or access than asked, InvalidArgument when the file's size is not a multiple of 4096,
    HostFailed.
    """
    raise NotImplementedError


def find(file: str | os.stat_result) -> LoopDevice | None:
    """The loop device that has this file, by backing device and inode; None if none has. Raises HostFailed."""
    raise NotImplementedError


def verify(device: LoopDevice, st_dev: int, st_ino: int) -> bool:
    """Whether ``device`` still has that file: one ioctl, for callers that remember what find told them."""
    raise NotImplementedError


def detach(device: LoopDevice) -> None:
    """Flush the device and free it; returns once it is free. Nothing happens if it has no file.

    Raises InUse while it is mounted or held open; the kernel then keeps it until its last user closes it.
    The caller has made sure that ``device`` is the one it means (verify).
    """
    raise NotImplementedError


def refresh_size(device: LoopDevice) -> int:
    """Make the device as large as its file now is (LOOP_SET_CAPACITY); the size in bytes. Raises HostFailed."""
    raise NotImplementedError


def all_devices() -> list[Attached]:
    """Every loop device of this host that has a file, by number. Raises HostFailed."""
    raise NotImplementedError
