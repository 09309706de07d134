"""What lies in a btrfs pool's own directories."""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence

from ...host import btrfs
from ...host.failure import during
from ...model import ids
from ...model.errors import HostFailed
from ..base import Entry
from ..layout import Layout
from .quota import Quota


def numbers(directories: Sequence[str]) -> set[int]:
    """The ids of all subvolumes in ``directories``, also of those that users made inside. HostFailed."""
    found: set[int] = set()
    for directory in directories:
        for _, path in _listed(directory):
            if btrfs.is_subvolume(path):
                found |= {btrfs.subvolume_id(path), *btrfs.nested_in(path)}
    return found


def entries(layout: Layout, partial: str, quota: Quota) -> Iterator[Entry]:
    """Volumes, snapshots, trash, and what is being made, which is said to be the volume that it will be."""
    places = ((layout.volumes, "volume", ids.VOLUME), (layout.snapshots, "snapshot", ids.SNAPSHOT),
              (partial, "volume", ids.VOLUME))  # fmt: skip
    for directory, where, letter in places:
        for name, path in _listed(directory):
            with _unless_gone():
                if ids.is_kind(name, letter) and btrfs.is_subvolume(path):
                    yield Entry(id=name, where=where, allocated=_bytes(path, quota))
                elif os.path.lexists(path):
                    yield Entry(id=name, where="foreign")
    for name, path in _listed(layout.trash):
        with _unless_gone():
            size = _bytes(path, quota) if btrfs.is_subvolume(path) else 0
            yield Entry(id=name.removesuffix(".partial"), where="trash", allocated=size)


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    """What was moved away since its directory was listed is no entry any more."""
    try:
        yield
    except HostFailed as error:
        if error.code != errno.ENOENT:
            raise


def _listed(directory: str) -> Iterator[tuple[str, str]]:
    with during(f"listing {directory}"):
        names = sorted(os.listdir(directory))
    for name in names:
        yield name, f"{directory}/{name}"


def _bytes(path: str, quota: Quota) -> int:
    """0 for an empty subvolume only: an empty one refers to the block of its own tree, and is still nothing."""
    with during(f"listing {path}"), os.scandir(path) as found:
        empty = next(found, None) is None
    return 0 if empty else max(1, quota.referenced(path))
