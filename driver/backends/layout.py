"""The directories of a pool that lives on a filesystem, and the only place that turns an id into a path.

``<pool>/.holdall/`` (ledger, lock, ``trash/``), ``<pool>/volumes/``, ``<pool>/snapshots/``. A pool is ours when it has a
``.holdall`` directory; that one is made first, so a crash while a pool is made leaves one that the next start completes.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ..host import files, space, tree
from ..host.failure import during
from ..model import ids, sizes
from ..model.errors import FailedPrecondition, HostFailed, InvalidArgument, NoSpace, Unavailable
from .memory import Memory

HOME, VOLUMES, SNAPSHOTS, TRASH = ".holdall", "volumes", "snapshots", "trash"
RESERVE = "reserve"
RESERVE_SIZE = 256 * sizes.KIB
"""Given up when a rename into the trash finds no room for a directory entry, and taken again after a purge."""
LEAST_FREE = 4 * sizes.MIB
"""A new pool wants room for its ledger; a pool that exists opens on a full filesystem too, or nothing could be deleted."""

_TRASH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,199}")


class Layout:
    """Paths of one pool, checked and made by ``open``. ``root`` is the pool's private directory in the state directory."""

    def __init__(self, pool: str, root: Path) -> None:
        self._pool = pool
        self._memory = Memory(root)
        self._fd = -1
        self._identity = (0, 0)
        self.path = ""

    @property
    def home(self) -> str:
        return f"{self.path}/{HOME}"

    @property
    def _reserve(self) -> str:
        return f"{self.home}/{RESERVE}"

    @property
    def volumes(self) -> str:
        return f"{self.path}/{VOLUMES}"

    @property
    def snapshots(self) -> str:
        return f"{self.path}/{SNAPSHOTS}"

    @property
    def trash(self) -> str:
        return f"{self.path}/{HOME}/{TRASH}"

    def open(self, path: str) -> None:
        """The directories exist under ``path``, durably. Raises, having changed nothing: InvalidArgument for a path that
        is not absolute; FailedPrecondition when the path is missing, no directory, read-only or not writable, when its
        ``volumes`` are somebody else's, or when this pool was here before and is gone; NoSpace when a new pool finds no
        room; HostFailed."""
        if not path.startswith("/") or "\0" in path:
            raise InvalidArgument(
                f"pool {self._pool}: path {path!r} is not absolute; wanted an absolute directory path"
            )
        self.close()
        path = os.path.normpath(path)
        self._check_usable(path)
        home = f"{path}/{HOME}"
        if not self._is_directory(home):
            self._check_new(path)
        self._make(path)
        with during(f"opening {home}"):
            # Held open, so that the filesystem is not unmounted below us by a plain umount(8).
            self._fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        seen = os.fstat(self._fd)
        self.path, self._identity = path, (seen.st_dev, seen.st_ino)

    def close(self) -> None:
        """The pool's filesystem is not held any more. May be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def check_present(self) -> None:
        """Unavailable when the pool that was opened is not at its path now: unmounted, moved away or replaced."""
        try:
            seen = os.lstat(self.home)
        except OSError as error:
            raise Unavailable(
                f"pool {self._pool}: {self.home} is not there now ({os.strerror(error.errno or 0)}); it was when the "
                "pool was opened"
            ) from error
        if (seen.st_dev, seen.st_ino) != self._identity:
            raise Unavailable(f"pool {self._pool}: another filesystem or directory lies at {self.path} than was opened")

    def volume(self, volume_id: str, suffix: str = "") -> str:
        """Where the volume lies. InvalidArgument when the id is none of ours (it would become a path component)."""
        if not ids.is_kind(volume_id, ids.VOLUME):
            raise InvalidArgument(f"{volume_id!r} is not the id of a volume")
        return f"{self.path}/{VOLUMES}/{volume_id}{suffix}"

    def snapshot(self, snapshot_id: str, suffix: str = "") -> str:
        """Where the snapshot lies. InvalidArgument as for ``volume``."""
        if not ids.is_kind(snapshot_id, ids.SNAPSHOT):
            raise InvalidArgument(f"{snapshot_id!r} is not the id of a snapshot")
        return f"{self.path}/{SNAPSHOTS}/{snapshot_id}{suffix}"

    def trashed(self, trash_id: str, suffix: str = "") -> str:
        """Where the trash of that id lies. InvalidArgument when it cannot be a name in a directory."""
        if not _TRASH_ID.fullmatch(trash_id):
            raise InvalidArgument(f"{trash_id!r} is not the id of anything in the trash")
        return f"{self.path}/{HOME}/{TRASH}/{trash_id}{suffix}"

    def names(self, directory: str) -> Iterator[str]:
        """The names in one of the pool's directories, in no order. HostFailed."""
        with during(f"listing {directory}"):
            yield from os.listdir(directory)

    def move_to_trash(self, source: str, target: str) -> None:
        """``source`` is at ``target``, durably; nothing to do when it is not there, or when something already is at
        ``target`` (then ``source`` is a later namesake). Succeeds on a full filesystem."""
        if os.path.lexists(target):
            # A crash may have come between renaming and syncing.
            files.fsync_dir(os.path.dirname(target))
            files.fsync_dir(os.path.dirname(source))
            return
        if not os.path.lexists(source):
            return
        try:
            self._rename(source, target)
        except NoSpace:
            # The trash directory itself had to grow. Cut to nothing rather than removed: XFS frees the blocks of a
            # removed file in its own time.
            with contextlib.suppress(HostFailed):
                files.truncate(self._reserve, 0)
            self._rename(source, target)

    def refill_reserve(self) -> None:
        """The reserve is there again, if there is room for it."""
        with contextlib.suppress(NoSpace, HostFailed):
            with during(f"measuring {self._reserve}"):
                left = os.stat(self._reserve).st_size if os.path.lexists(self._reserve) else 0
            if left < RESERVE_SIZE:
                files.write_durably(self._reserve, bytes(RESERVE_SIZE))

    def _rename(self, source: str, target: str) -> None:
        try:
            files.rename_durably(source, target)
        except HostFailed as error:
            if error.code != errno.EPERM:
                raise
            # A directory can be immutable (chattr(1)): a pod with CAP_LINUX_IMMUTABLE may do that to its volume.
            tree.unlock_path(source)
            files.rename_durably(source, target)

    def _check_usable(self, path: str) -> None:
        try:
            found = os.stat(path)
            flags = os.statvfs(path).f_flag
        except FileNotFoundError:
            raise self._refusal(path, "nothing", "an existing directory") from None
        except NotADirectoryError:
            raise self._refusal(path, "a path through something that is no directory", "a directory") from None
        except OSError as error:
            raise HostFailed(
                f"pool {self._pool}: {path} cannot be looked at: {os.strerror(error.errno or 0)}", error.errno or 0
            ) from error
        if not stat.S_ISDIR(found.st_mode):
            raise self._refusal(path, "something that is no directory", "a directory")
        if flags & os.ST_RDONLY:
            raise self._refusal(path, "a read-only filesystem", "a writable one")
        if not os.access(path, os.W_OK | os.X_OK):
            raise self._refusal(path, "a directory this process may not write to", "a writable one")

    def _check_new(self, path: str) -> None:
        if self._memory.path == path:
            raise FailedPrecondition(
                f"pool {self._pool}: {path} holds no pool (no {HOME} directory), but this pool was here before; is its "
                f"disk mounted? If it was removed on purpose, remove {self._memory.file} to begin a new one"
            )
        for name in (VOLUMES, SNAPSHOTS):
            if os.path.lexists(f"{path}/{name}"):
                raise self._refusal(path, f"{name!r} of somebody else (no {HOME} beside it)", "a directory of its own")
        free = space.space(path).free
        if free < LEAST_FREE:
            raise NoSpace(
                f"pool {self._pool}: {path} has {sizes.show(free)} free; a new pool wants {sizes.show(LEAST_FREE)}"
            )

    def _make(self, path: str) -> None:
        home = f"{path}/{HOME}"
        made: list[str] = []
        try:
            for directory in (home, f"{home}/{TRASH}", f"{path}/{VOLUMES}", f"{path}/{SNAPSHOTS}"):
                if not self._is_directory(directory) and files.make_dir(directory):
                    made.append(directory)
            if not os.path.lexists(f"{home}/{RESERVE}") and home in made:
                files.write_durably(f"{home}/{RESERVE}", bytes(RESERVE_SIZE))
            # Also when they were there: a crash may have come between making and syncing them.
            files.fsync_dir(home)
            files.fsync_dir(path)
            self._memory.remember_path(path)
        except (NoSpace, HostFailed) as error:
            if home in made:
                with contextlib.suppress(HostFailed):
                    files.remove_file(f"{home}/{RESERVE}")
            for directory in reversed(made):
                with contextlib.suppress(HostFailed):
                    files.remove_dir(directory)
            if isinstance(error, HostFailed) and error.code in (errno.EPERM, errno.EACCES, errno.EROFS):
                found = f"a directory that cannot be written to ({error.message})"
                raise self._refusal(path, found, "a writable one") from error
            raise

    def _is_directory(self, path: str) -> bool:
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return False
        except OSError as error:
            raise HostFailed(
                f"pool {self._pool}: {path} cannot be looked at: {os.strerror(error.errno or 0)}", error.errno or 0
            ) from error
        if not stat.S_ISDIR(mode):
            raise self._refusal(path, "something that is no directory", "a directory, and no symbolic link to one")
        return True

    def _refusal(self, path: str, found: str, wanted: str) -> FailedPrecondition:
        return FailedPrecondition(f"pool {self._pool}: found {found} at {path}; wanted {wanted}")
