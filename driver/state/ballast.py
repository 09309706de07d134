"""Space kept back in a pool, so that deleting works when nothing is left."""

import contextlib
import errno
import os
from collections.abc import Callable
from typing import TypeVar

from ..host import files, fsprobe
from ..host.failure import during
from ..model import sizes
from ..model.errors import HostFailed, NoSpace

T = TypeVar("T")

NAME = "ballast"
SIZE = 4 * sizes.MIB
STEP = 128 * sizes.KIB
"""Given up at a time: what is not needed stays out of the reach of whoever fills the pool."""


class Ballast:
    """The file ``<home>/ballast``: blocks really taken, of which ``release`` gives some back.

    It never grows into the last room of a store: as much again must be free.
    """

    def __init__(self, home: str, size: int = SIZE) -> None:
        self._home = home
        self._path = f"{home}/{NAME}"
        self._full = size
        self._size = 0

    def open(self) -> None:
        """Know how much an earlier process left. Raises HostFailed."""
        self._size = self._measured()

    def restore(self) -> None:
        """Whole again, if twice its size is free; else as it is. Never fails: the next call tries again."""
        if self._size >= self._full or (self._free() or 0) < 2 * self._full:
            return
        # Where somebody took the room first, what was allocated on the way stays.
        with contextlib.suppress(NoSpace, HostFailed, OSError):
            self._allocate()
            files.fsync_file(self._path)
            files.fsync_dir(self._home)
        with contextlib.suppress(HostFailed):
            self._size = self._measured()

    def release(self) -> bool:
        """Give a step back to the store; False when nothing was left to give. Raises HostFailed."""
        if self._size == 0:
            return False
        self._size = max(0, self._size - STEP)
        files.truncate(self._path, self._size)
        return True

    def may_help(self, error: NoSpace | HostFailed) -> bool:
        """Whether a full store is behind ``error``. SQLite tells of one in other words too (an IO error)."""
        free = self._free()
        return isinstance(error, NoSpace) or (free is not None and free < self._full)

    def squeezed(self, action: Callable[[], T]) -> T:
        """``action()``, with ballast given up for it step by step while that may help. Raises what it does."""
        while True:
            try:
                return action()
            except (NoSpace, HostFailed) as error:
                if not self.may_help(error):
                    raise
                if not self.release():
                    raise NoSpace(f"{error.message} (the store of {self._home} is full)") from error

    def check_growth(self) -> None:
        """NoSpace unless the store has room for records that promise more, and for all the deletes they will need."""
        free = self._free()
        if free is not None and free < self._full:
            raise NoSpace(
                f"the store of the pool's ledger in {self._home} has {sizes.show(free)} free; the last "
                f"{sizes.show(self._full)} are kept for deletions"
            )

    def _measured(self) -> int:
        with during(f"looking at {self._path}"):
            try:
                return os.stat(self._path).st_size
            except FileNotFoundError:
                return 0

    def _free(self) -> int | None:
        """Bytes free for anybody; None where the filesystem does not say (some FUSE filesystems report zeros)."""
        try:
            seen = os.statvfs(self._home)
        except OSError:
            return None
        return seen.f_bavail * seen.f_frsize if seen.f_blocks else None

    def _allocate(self) -> None:
        if not files.exists(self._path):
            files.create_sparse(self._path, 0)
        try:
            if fsprobe.statfs_type(self._home).name == "btrfs":
                # It gives an extent back only as a whole, so each step must be one.
                for size in range(self._size + STEP, self._full, STEP):
                    files.allocate(self._path, size)
            files.allocate(self._path, self._full)
        except HostFailed as error:
            if error.code != errno.EOPNOTSUPP:
                raise
            files.write_file(self._path, bytes(self._full))
