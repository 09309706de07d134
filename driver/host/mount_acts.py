"""The calls that make and undo mounts: each appears, flags and all, at one moment or not at all."""

import ctypes
import errno
import os
import struct

from ..model.errors import InUse, InvalidArgument
from . import libc
from .effect import effect
from .failure import during, from_os
from .mount_options import ATIME, RDONLY, Options

FSOPEN_CLOEXEC = 0x1
FSMOUNT_CLOEXEC = 0x1
SET_FLAG = 0
SET_STRING = 1
CMD_CREATE = 6
OPEN_TREE_CLONE = 0x1
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

# What a filesystem answers that can no longer be reached; it would answer the same to a patient unmount.
DEAD = frozenset({errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ESHUTDOWN})
NOTHING_THERE = frozenset({errno.EINVAL, errno.ENOENT, errno.ENOTDIR})


@effect
def mount_device(source: str, target: str, fs_type: str, options: Options) -> None:
    """Mount a filesystem on top of ``target``; it appears there complete or not at all (fsopen(2), move_mount(2)).

    Raises InvalidArgument, HostFailed.
    """
    doing = f"mounting {source} at {target} as {fs_type}"
    with during(doing):
        _place(_detached(source, fs_type, options, doing), target)


@effect
def replay(source: str, fs_type: str, options: Options) -> None:
    """Mount a filesystem where nobody sees it and unmount it again, so that its log is replayed and it is clean.

    Raises InvalidArgument, HostFailed.
    """
    doing = f"replaying the log of {source} as {fs_type}"
    with during(doing):
        # A mount that was never put anywhere is undone by the close, before it returns (fsmount(2)).
        os.close(_detached(source, fs_type, options, doing))


@effect
def bind(source: str, target: str, options: Options) -> None:
    """Show ``source`` on top of ``target``; it appears there with its flags (open_tree(2)). Raises HostFailed."""
    with during(f"binding {source} at {target}"):
        tree = libc.syscall(libc.OPEN_TREE, libc.AT_FDCWD, os.fsencode(source), OPEN_TREE_CLONE | os.O_CLOEXEC)
        if options.attributes:
            attributes = struct.pack("=QQQQ", options.attributes, ATIME if options.attributes & ATIME else 0, 0, 0)
            try:
                libc.syscall(libc.MOUNT_SETATTR, tree, b"", libc.AT_EMPTY_PATH, attributes, len(attributes))
            except OSError:
                os.close(tree)
                raise
        _place(tree, target)


@effect
def unmount(target: str) -> bool:
    """Take the topmost mount off ``target``; False if there was none. Raises InUse, HostFailed."""
    path = os.fsencode(target)
    code = _umount2(path, UMOUNT_NOFOLLOW)
    if code in DEAD:
        code = _umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH)
    if code == errno.EBUSY:
        message = f"{target} is busy: a process has it open or works in it, or something is mounted inside"
        raise InUse(message)
    if code and code not in NOTHING_THERE:
        raise from_os(f"unmounting {target}", OSError(code, os.strerror(code)))
    return code == 0


def _detached(source: str, fs_type: str, options: Options, doing: str) -> int:
    context = libc.syscall(libc.FSOPEN, fs_type.encode(), FSOPEN_CLOEXEC)
    try:
        _configure(context, source, options)
        _create(context, doing)
        return libc.syscall(libc.FSMOUNT, context, FSMOUNT_CLOEXEC, options.attributes)
    finally:
        os.close(context)


def _configure(context: int, source: str, options: Options) -> None:
    words = [f"source={source}", *(["ro"] if options.attributes & RDONLY else []), *options.data]
    for word in words:
        name, given, value = word.partition("=")
        kind, text = (SET_STRING, os.fsencode(value)) if given else (SET_FLAG, None)
        try:
            libc.syscall(libc.FSCONFIG, context, kind, os.fsencode(name), text, 0)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            message = f"the mount option {word!r} is refused: {_log(context) or error.strerror}"
            raise InvalidArgument(message) from error


def _create(context: int, doing: str) -> None:
    try:
        libc.syscall(libc.FSCONFIG, context, CMD_CREATE, None, None, 0)
    except OSError as error:
        said = _log(context)
        raise from_os(f"{doing} ({said})" if said else doing, error) from error


def _log(context: int) -> str:
    """What the kernel says of a failed mount (fsopen(2)): lines that begin with e, w or i and a blank."""
    lines: list[str] = []
    try:
        while True:
            lines.append(os.read(context, 4096).decode(errors="replace")[2:].strip())
    except OSError:
        return "; ".join(lines)


def _place(tree: int, target: str) -> None:
    try:
        libc.syscall(libc.MOVE_MOUNT, tree, b"", libc.AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def _umount2(path: bytes, flags: int) -> int:
    """The errno of umount2(2), 0 for success."""
    return 0 if libc.umount2(path, flags) == 0 else ctypes.get_errno()
