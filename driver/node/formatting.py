"""Making the filesystem of a new volume: once, and only on what is proven to be empty.

| step | a crash after it leaves |
|---|---|
| the volume is blank, and a probe finds nothing on it | nothing |
| a mark in the pool, synced: "formatting <id>" | a mark beside a blank volume |
| mkfs, synced; the UUID follows from the volume's id | a part of a filesystem, or all of it, beside the mark |
| the record says ``formatted`` (the caller) | a formatted volume and an idle mark, removed at the next stage |
| the mark is removed, synced | a formatted volume |
| mounted and handed out (the caller) | |

The mark exists only between a proven-blank volume and the first time anybody gets to see its filesystem: whatever lies
on a volume that has a mark and is not recorded as ``formatted`` was written by our own mkfs. It is cleared, the volume
proven blank again, and formatted. Without a mark nothing is ever cleared: a filesystem with the UUID we would have given
it is taken as the one made here (the record was lost, say by restoring an old copy of the ledger), anything else is
refused for a person to look at.
"""

import os
import uuid
from typing import Literal, Protocol

from ..backends import base
from ..host import files, filesystem, fsprobe
from ..host.failure import during
from ..model import errors
from ..model.volume import Volume

_SPACE = uuid.UUID("6f1f8d0e-6f35-5a52-9f0f-1d5a3a1c7f5e")
"""Names our volume ids as UUIDs (RFC 9562, version 5)."""


class DeviceBackend(base.Backend, base.Devices, Protocol):
    """A backend whose volumes are block devices."""


def uuid_of(volume_id: str) -> str:
    """The UUID of the filesystem that is made for this volume."""
    return str(uuid.uuid5(_SPACE, volume_id))


def verdict(volume: Volume, *, blank: bool, found: fsprobe.Signature | None) -> Literal["make", "keep"]:
    """What to do with a volume whose record says that it was never formatted. Pure.

    FailedPrecondition, saying what was found, when it is neither empty nor the filesystem made for it.
    """
    if blank and found is None:
        return "make"
    if found is not None and found.kind == volume.fs_type and found.uuid.lower() == uuid_of(volume.id):
        return "keep"
    what = f"a {found.kind} signature (UUID {found.uuid or 'none'})" if found else "data without a known signature"
    raise errors.FailedPrecondition(
        f"volume {volume.id} is recorded as never formatted, but holds {what}; it is not formatted over: look at what it "
        "is, then delete the volume and make it again"
    )


def ensure_formatted(backend: DeviceBackend, volume: Volume, device: str) -> None:
    """The volume's filesystem exists, durable. Call only while the record says that it was never formatted."""
    mark = _mark(backend, volume)
    if os.path.exists(mark):
        _clear(backend, volume, device)
    if verdict(volume, blank=backend.is_blank(volume), found=fsprobe.signature(device)) == "keep":
        return
    files.make_dir(os.path.dirname(mark))
    files.write_durably(mark, b"")
    files.fsync_dir(backend.home)
    filesystem.make(device, volume.fs_type, uuid=uuid_of(volume.id), zeroed=True)
    files.fsync_file(device)


def settle(backend: base.Backend, volume: Volume) -> None:
    """No mark is left. Call once the record says ``formatted`` and before the filesystem is handed out."""
    mark = _mark(backend, volume)
    if os.path.exists(mark):
        files.remove_file(mark)
        files.fsync_dir(os.path.dirname(mark))


def _mark(backend: base.Backend, volume: Volume) -> str:
    return f"{backend.home}/formatting/{volume.id}"


def _clear(backend: DeviceBackend, volume: Volume, device: str) -> None:
    """What our own interrupted mkfs left is gone; preallocated blocks are there again."""
    found = fsprobe.signature(device)
    if found is not None and found.uuid.lower() != uuid_of(volume.id):
        verdict(volume, blank=False, found=found)
    with during(f"clearing {device}, where an earlier mkfs was cut off and may still be running"):
        # Exclusively, as mkfs itself opens it: one that outlived its driver keeps us out.
        fd = os.open(device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    try:
        files.punch(fd, 0, os.lseek(fd, 0, os.SEEK_END))
    finally:
        os.close(fd)
    files.fsync_file(device)
    backend.ensure_created(volume)
