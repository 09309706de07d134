"""System calls Python does not offer, through the C library."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

# Numbers from 424 on are the same on every architecture Linux has had since (syscalls(2)).
OPEN_TREE = 428
MOVE_MOUNT = 429
FSOPEN = 430
FSCONFIG = 431
FSMOUNT = 432
OPENAT2 = 437
MOUNT_SETATTR = 442

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000

statx = _libc.statx
statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
statfs = _libc.statfs
statfs.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
umount2 = _libc.umount2
umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
syncfs = _libc.syncfs
syncfs.argtypes = (ctypes.c_int,)
fallocate = _libc.fallocate64 if hasattr(_libc, "fallocate64") else _libc.fallocate
fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
open_by_handle_at = _libc.open_by_handle_at
open_by_handle_at.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def failed() -> OSError:
    """The error of the C library call that just returned -1 in this thread."""
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


def syscall(number: int, *arguments: ctypes.c_void_p | ctypes.c_char_p | int | bytes | None) -> int:
    """Make a system call. Raises OSError with its errno; an interrupted call is made again."""
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    while True:
        result: int = _syscall(ctypes.c_long(number), *wide)
        if result >= 0:
            return result
        error = failed()
        if not isinstance(error, InterruptedError):
            raise error
