"""Compression of a volume's data from now on."""

import contextlib
import os
import stat

from ...host import btrfs, walk
from ...host.failure import during
from ...model.errors import Busy, HostFailed, InUse

KEY = "compression"
ALGORITHMS = ("none", "zstd", "lzo", "zlib")
TRIES = 3


def ensure(path: str, algorithm: str) -> None:
    """New data of everything in the subvolume at ``path`` is compressed so: of files made from now on, and of those that
    exist, but for files that cannot be compressed (nodatacow). What is written already stays as it is.

    O(1) when it is so already: the root is set last. On failure what was in force is put back as far as possible.
    Raises InUse, Busy, HostFailed.
    """
    before = btrfs.compression(path)
    if before == algorithm:
        return
    try:
        _set_all(path, algorithm)
    except (Busy, InUse, HostFailed):
        with contextlib.suppress(Busy, InUse, HostFailed):
            _set_all(path, before)
        raise


def _set_all(path: str, algorithm: str) -> None:
    for remaining in reversed(range(TRIES)):
        try:
            _set_below(path, algorithm)
            break
        except Busy:
            # Directories were moved while their volume is in use: what was passed by is set in another round.
            if not remaining:
                raise
    btrfs.set_compression(path, algorithm)


def _set_below(path: str, algorithm: str) -> None:
    with during(f"setting the compression of {path}"), walk.Cursor(path) as cursor:
        device = os.fstat(cursor.fd).st_dev
        for visit in walk.walk(cursor):
            # Subvolumes that the user made inside are none of ours to change.
            if visit.seen.st_dev != device:
                continue
            if visit.what == "enter":
                btrfs.set_compression(f"/proc/self/fd/{cursor.fd}", algorithm)
            elif visit.what == "leaf" and stat.S_ISREG(visit.seen.st_mode):
                _set_file(cursor.fd, visit.name, algorithm)


def _set_file(directory: int, name: str, algorithm: str) -> None:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return  # replaced meanwhile, by something that inherits from the directory
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            btrfs.set_compression(f"/proc/self/fd/{fd}", algorithm)
    except HostFailed:
        pass  # nodatacow, or immutable
    finally:
        os.close(fd)
