"""What lies in a directory pool's own directories."""

import errno
import os
from collections.abc import Iterator

from ...host import btrfs, tree, walk
from ...host.failure import during
from ...model import ids
from ...model.errors import HostFailed, InUse
from ..base import Entry
from ..tree_size import taken

ENOUGH = 1000
"""Entries after which a size is only said to be at least that."""


def of_kind(directory: str, where: str, letter: str) -> Iterator[Entry]:
    """Volumes or snapshots; what is neither is foreign. An empty one has 0 bytes allocated, any other has some."""
    for name, path in _listed(directory):
        if ids.is_kind(name, letter) and walk.is_directory(path):
            yield Entry(id=name, where=where, allocated=_bytes(path))
        elif os.path.lexists(path):
            yield Entry(id=name, where="foreign")


def of_trash(directory: str) -> Iterator[Entry]:
    """What waits to be purged."""
    for name, path in _listed(directory):
        yield Entry(id=name.removesuffix(".partial"), where="trash", allocated=_bytes(path))


def of_partial(directory: str) -> Iterator[Entry]:
    """What is being made, said to be what it will be: without a record, nobody finishes it."""
    for name, path in _listed(directory):
        made = name.removesuffix(".new")
        for where, letter in (("volume", ids.VOLUME), ("snapshot", ids.SNAPSHOT)):
            if ids.is_kind(made, letter):
                yield Entry(id=made, where=where, allocated=_bytes(path))
                break
        else:
            yield Entry(id=name, where="foreign")


def remove(path: str) -> None:
    """Nothing is left at ``path``. On btrfs, subvolumes that users made inside are deleted first: rmdir(2) refuses
    those that are read-only. Raises InUse when something is mounted inside, HostFailed."""
    try:
        tree.remove_tree(path)
    except HostFailed:
        if not _delete_subvolumes(path):
            raise
        tree.remove_tree(path)


def _delete_subvolumes(path: str) -> bool:
    any_found = False
    while (found := _subvolume(path)) is not None:
        above, name = found
        try:
            btrfs.delete_subvolume(f"/proc/self/fd/{above}", name)
        finally:
            os.close(above)
        any_found = True
    return any_found


def _subvolume(path: str) -> tuple[int, str] | None:
    """A subvolume below ``path``: a descriptor of the directory it lies in, and its name there."""
    with during(f"looking for subvolumes in {path}"), walk.Cursor(path) as cursor:
        device = os.fstat(cursor.fd).st_dev
        for visit in walk.walk(cursor):
            if visit.what == "enter" and visit.seen.st_ino == btrfs.ROOT_INODE and visit.seen.st_dev != device:
                return os.open("..", walk.STEP, dir_fd=cursor.fd), visit.name
    return None


def _listed(directory: str) -> Iterator[tuple[str, str]]:
    with during(f"listing {directory}"):
        names = sorted(os.listdir(directory))
    for name in names:
        yield name, f"{directory}/{name}"


def _bytes(path: str) -> int:
    if not walk.is_directory(path):
        return 0
    try:
        with during(f"listing {path}"), os.scandir(path) as entries:
            empty = next(entries, None) is None
    except HostFailed as error:
        if error.code == errno.ENOENT:
            return 0  # moved away since its directory was listed
        raise
    try:
        return 0 if empty else max(1, taken(path, ENOUGH))
    except InUse:
        # Something is mounted inside: certainly not empty, and no reason not to be told about it.
        return 1
