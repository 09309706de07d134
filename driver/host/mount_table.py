"""The kernel's list of all mounts. It takes milliseconds per thousand: for start-up, doctor and error messages only."""

import os
import re

import msgspec

from .failure import during


class MountInfo(msgspec.Struct, frozen=True):
    """A line of /proc/self/mountinfo (proc(5)); ``dev`` as st_dev, ``root`` is the path inside the filesystem."""

    mount_id: int
    parent_id: int
    dev: int
    root: str
    target: str
    options: tuple[str, ...]
    fs_type: str
    source: str
    super_options: tuple[str, ...]


def mountinfo() -> list[MountInfo]:
    """Every mount of our namespace, in the order they were made visible. Raises HostFailed."""
    with during("reading the list of mounts"):
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            return [_parse(line) for line in lines]


def _parse(line: str) -> MountInfo:
    before, _, after = line.rstrip("\n").partition(" - ")
    mount_id, parent_id, device, root, target, options, *_ = before.split(" ")
    fs_type, source, super_options = after.split(" ")
    major, minor = device.split(":")
    return MountInfo(
        mount_id=int(mount_id),
        parent_id=int(parent_id),
        dev=os.makedev(int(major), int(minor)),
        root=_unescaped(root),
        target=_unescaped(target),
        options=tuple(options.split(",")),
        fs_type=fs_type,
        source=_unescaped(source),
        super_options=tuple(super_options.split(",")),
    )


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
