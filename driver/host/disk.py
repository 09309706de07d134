"""The disk below a path: what kind it is, and how busy."""

import os
import stat
from typing import Literal

import msgspec

from ..model.errors import NotFound
from . import btrfs
from .failure import during

SECTOR = 512
# Loop devices on mappings on partitions: more would be a ring.
DEEPEST = 16
Class = Literal["ssd", "hdd", "nvme", "unknown"]


class DiskFacts(msgspec.Struct, frozen=True):
    """A disk. ``name`` as in /sys/block (empty: no disk below, as on tmpfs); ``wwn`` and ``serial`` empty if it has none."""

    device_class: Class
    name: str
    wwn: str
    serial: str


class IoCounters(msgspec.Struct, frozen=True):
    """What a block device has done since it appeared."""

    read_bytes: int
    write_bytes: int
    read_ops: int
    write_ops: int
    read_seconds: float
    write_seconds: float


NO_DISK = DiskFacts(device_class="unknown", name="", wwn="", serial="")


def describe(path: str) -> DiskFacts:
    """The disk below ``path``, through partitions, loop devices and mappings to their parents; of several the first.

    ``path`` may also be a device. Raises HostFailed.
    """
    with during(f"looking for the disk below {path}"):
        name = _disk_name(min(numbers_below(path)))
    return _facts(name) if name else NO_DISK


def numbers_below(path: str) -> set[int]:
    """The st_rdev of the block devices that ``path`` lies on, or of the device it is; never empty. Raises HostFailed.

    Several for a btrfs of several; a number without a block device for a filesystem that has none.
    """
    with during(f"looking for the device below {path}"):
        seen = os.stat(path)
        if stat.S_ISBLK(seen.st_mode):
            return {seen.st_rdev}
        return btrfs.device_numbers(path) or {seen.st_dev}


def device_below(path: str) -> str:
    """The block device ``path`` lies on, by its name in /dev. Raises HostFailed (ENOENT when it lies on none)."""
    number = min(numbers_below(path))
    with during(f"looking for the device below {path}"):
        return f"/dev/{os.path.basename(os.readlink(f'/sys/dev/block/{os.major(number)}:{os.minor(number)}'))}"


def io_counters(device_name: str) -> IoCounters:
    """The counters of a device by its name in /sys/class/block. Raises NotFound when it is gone, HostFailed."""
    with during(f"reading the counters of {device_name}"):
        try:
            with open(f"/sys/class/block/{os.path.basename(device_name)}/stat", encoding="ascii") as file:
                fields = [int(field) for field in file.read().split()]
        except FileNotFoundError as error:
            message = f"there is no block device {device_name}"
            raise NotFound(message) from error
    read_ops, _, read_sectors, read_ms, write_ops, _, write_sectors, write_ms = fields[:8]
    return IoCounters(
        read_bytes=read_sectors * SECTOR,
        write_bytes=write_sectors * SECTOR,
        read_ops=read_ops,
        write_ops=write_ops,
        read_seconds=read_ms / 1000,
        write_seconds=write_ms / 1000,
    )


def _disk_name(number: int) -> str:
    for _ in range(DEEPEST):
        try:
            device = os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}", strict=True)
        except FileNotFoundError:
            return ""
        if os.path.exists(f"{device}/partition"):
            device = os.path.dirname(device)
        below = sorted(os.listdir(f"{device}/slaves"))
        if below:
            number = _number(f"{device}/slaves/{below[0]}")
        elif os.path.exists(f"{device}/loop/backing_file"):
            with open(f"{device}/loop/backing_file", encoding="utf-8", errors="surrogateescape") as file:
                number = min(numbers_below(os.path.dirname(file.read().rstrip("\n"))))
        else:
            return os.path.basename(device)
    return ""


def _number(device: str) -> int:
    with open(f"{device}/dev", encoding="ascii") as file:
        major, minor = file.read().split(":")
    return os.makedev(int(major), int(minor))


def _facts(name: str) -> DiskFacts:
    import pyudev

    try:
        device = pyudev.Devices.from_name(pyudev.Context(), "block", name)
    except pyudev.DeviceNotFoundError:
        return NO_DISK
    # udev's database where udev runs, else what the kernel itself knows of the device.
    known = {key: str(value) for key, value in device.properties.items()}
    return DiskFacts(
        device_class=_class(name),
        name=name,
        wwn=known.get("ID_WWN_WITH_EXTENSION") or known.get("ID_WWN") or _attribute(name, "wwid", "device/wwid"),
        serial=known.get("ID_SERIAL_SHORT") or known.get("ID_SERIAL") or _attribute(name, "serial", "device/serial"),
    )


def _class(name: str) -> Class:
    if name.startswith("nvme"):
        return "nvme"
    rotates = _attribute(name, "queue/rotational")
    if rotates == "0":
        return "ssd"
    # The virtio driver calls every disk rotating: it does not know.
    return "hdd" if rotates == "1" and not name.startswith("vd") else "unknown"


def _attribute(name: str, *paths: str) -> str:
    for path in paths:
        try:
            with open(f"/sys/block/{name}/{path}", encoding="utf-8", errors="replace") as file:
                return file.read().strip()
        except OSError:
            continue
    return ""
