"""Overwriting in place on a filesystem that would copy on write."""

import errno
import fcntl
import os
import struct

from .effect import effect
from .failure import during

FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602
FS_NOCOW_FL = 0x00800000
FLAGS = struct.Struct("i")
NOT_OFFERED = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS})


@effect
def ensure_overwritten_in_place(directory: str) -> None:
    """Files made in ``directory`` from now on keep their blocks when written again (chattr(1), ``C``: btrfs).

    Then writing into a file needs no space, even if none is left; btrfs keeps no checksums of such files. Does nothing
    where the filesystem has no such flag: all others write in place anyway. Raises HostFailed.
    """
    with during(f"asking for writes in place in {directory}"):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            (flags,) = FLAGS.unpack(fcntl.ioctl(fd, FS_IOC_GETFLAGS, FLAGS.pack(0)))
            if not flags & FS_NOCOW_FL:
                fcntl.ioctl(fd, FS_IOC_SETFLAGS, FLAGS.pack(flags | FS_NOCOW_FL))
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise
        finally:
            os.close(fd)
