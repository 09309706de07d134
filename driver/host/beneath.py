"""Opening what a user names, inside one directory and nowhere else (openat2(2))."""

import ctypes
import errno
import os
import struct

from ..model.errors import InvalidArgument, NotFound
from . import libc
from .failure import from_os

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

ESCAPES = frozenset({errno.EXDEV, errno.ELOOP})
# The kernel answers EAGAIN when a rename on the host ran beside a ".." in the path; one retry is nearly always enough.
TRIES = 128


def open_beneath(dirfd: int, path: str, flags: int, mode: int = 0, *, follow: bool = True) -> int:
    """A descriptor (close-on-exec) for ``path`` below ``dirfd``, resolved in one step with RESOLVE_BENEATH.

    Symbolic links that stay below are followed unless ``follow`` is false; magic links never are. Raises
    InvalidArgument when the path is absolute, leaves the directory or meets a link it may not follow; NotFound;
    NoSpace; HostFailed with the errno for everything else.
    """
    resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (0 if follow else RESOLVE_NO_SYMLINKS)
    if "\0" in path:
        message = f"the path {path!r} holds a zero byte"
        raise InvalidArgument(message)
    try:
        return openat2(dirfd, path, flags, mode, resolve)
    except FileNotFoundError as error:
        message = f"{path!r} does not exist"
        raise NotFound(message) from error
    except OSError as error:
        if error.errno in ESCAPES:
            message = f"{path!r} leads out of its directory, or through a link that may not be followed"
            raise InvalidArgument(message) from error
        raise from_os(f"opening {path!r}", error) from error


def openat2(dirfd: int, path: str, flags: int, mode: int, resolve: int) -> int:
    """openat2(2) itself, close-on-exec. Raises OSError."""
    # The kernel refuses a mode without a flag that could create something (EINVAL).
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode if flags & (os.O_CREAT | os.O_TMPFILE) else 0, resolve)
    buffer = ctypes.create_string_buffer(how, len(how))
    for _ in range(TRIES):
        try:
            return libc.syscall(libc.OPENAT2, dirfd, os.fsencode(path), ctypes.addressof(buffer), len(how))
        except BlockingIOError as error:
            raced = error
    raise raced
