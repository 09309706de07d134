"""The paths a caller names: checked before anything is looked at. Staging paths and parents of targets are the caller's."""

import errno
import os
import stat

from ..host import files, mounts
from ..host.failure import during
from ..model import errors

LONGEST = 4095
"""PATH_MAX without its closing zero byte (limits.h)."""


def checked(path: str, field: str) -> str:
    """``path`` without doubled or trailing slashes. InvalidArgument unless it is absolute and free of ``..``."""
    if not path:
        raise errors.InvalidArgument(f"{field} is empty; it is required")
    if "\0" in path or len(os.fsencode(path)) > LONGEST:
        raise errors.InvalidArgument(f"{field} is no path: it holds a zero byte or is longer than {LONGEST} bytes")
    if not path.startswith("/") or ".." in path.split("/"):
        raise errors.InvalidArgument(f"{field} {path!r} is not an absolute path without '..'")
    if "//" not in path and "/." not in path and not path.endswith("/"):
        return path  # as nearly every caller spells it
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def looked_up(path: str, field: str) -> str:
    """Like ``checked`` for a path that is only compared with known ones: where nothing can be, NotFound (csi-sanity)."""
    if path and not path.startswith("/"):
        raise errors.NotFound(f"no volume is at {field} {path!r}, which is not an absolute path")
    return checked(path, field)


def seen_at(path: str) -> mounts.Mounted | None:
    """What lies at ``path``; a dead filesystem mounted there is taken away first, since nothing can be done with it."""
    try:
        return mounts.look(path)
    except errors.HostFailed as error:
        if error.code not in DEAD:
            raise
        mounts.ensure_unmounted(path)
        return mounts.look(path)


DEAD = frozenset({errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ESHUTDOWN})


def require_directory(path: str, field: str) -> None:
    """FailedPrecondition unless ``path`` is a directory; a symbolic link is none, wherever it points."""
    mode = _mode(path)
    if mode is None:
        raise errors.FailedPrecondition(f"{field} {path} does not exist; the caller makes it")
    if not stat.S_ISDIR(mode):
        raise errors.FailedPrecondition(f"{field} {path} is {_word(mode)}; it must be a directory")


def ensure_target(path: str, access: str) -> bool:
    """An empty directory (``mount``) or empty file (``block``) lies at ``path``, not mounted upon; True if made now.

    FailedPrecondition when its parent is missing or something else lies there: what it holds would be hidden.
    """
    try:
        made = files.make_file(path) if access == "block" else files.make_dir(path, 0o750)
    except errors.HostFailed as error:
        if error.code in (errno.ENOENT, errno.ENOTDIR):
            raise errors.FailedPrecondition(
                f"the parent directory of target_path {path} does not exist; the caller makes it"
            ) from error
        if error.code != errno.EEXIST:
            raise
        mode = _mode(path)
        found = "gone again" if mode is None else _word(mode)
        wanted = "a file to bind the device on" if access == "block" else "a directory"
        raise errors.FailedPrecondition(f"target_path {path} is {found}; it must be free, or {wanted}") from error
    if not made and (held := _holds(path, access)):
        raise errors.FailedPrecondition(f"target_path {path} {held}, which the volume would hide; empty it first")
    return made


def remove_target(path: str) -> None:
    """Nothing lies at ``path`` any more, if it was an empty directory or file not mounted upon; never more than that.

    FailedPrecondition when it is something else: it was not made here.
    """
    mode = _mode(path)
    if mode is None:
        return
    if stat.S_ISDIR(mode):
        try:
            files.remove_dir(path)
        except errors.HostFailed as error:
            if error.code not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise errors.FailedPrecondition(f"target_path {path} holds files beside the volume; it is kept") from error
    elif stat.S_ISREG(mode) and not _holds(path, "block"):
        files.remove_file(path)
    else:
        raise errors.FailedPrecondition(f"target_path {path} is {_word(mode)} that was not made here; it is kept")


def _holds(path: str, access: str) -> str:
    with during(f"looking into {path}"):
        if access == "block":
            size = os.lstat(path).st_size
            return f"holds {size} bytes" if size else ""
        with os.scandir(path) as entries:
            return next((f"holds {entry.name!r}" for entry in entries), "")


def _mode(path: str) -> int | None:
    try:
        with during(f"looking at {path}"):
            return os.lstat(path).st_mode
    except errors.HostFailed as error:
        if error.code in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise


def _word(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a file" if stat.S_ISREG(mode) else "a special file"
