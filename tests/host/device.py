"""Looking at a device below a filesystem, through the file behind it."""

import mmap
import os
from pathlib import Path


def holds(image: Path, secret: bytes) -> bool:
    """Whether the bytes lie anywhere in the image. Only what the file has blocks for is read: holes are zeros."""
    fd = os.open(image, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        end = os.fstat(fd).st_size
        with mmap.mmap(fd, end, prot=mmap.PROT_READ) as view:
            start = 0
            while start < end:
                try:
                    start = os.lseek(fd, start, os.SEEK_DATA)
                except OSError:
                    return False
                stop = os.lseek(fd, start, os.SEEK_HOLE)
                if view.find(secret, start, stop) >= 0:
                    return True
                start = stop
        return False
    finally:
        os.close(fd)
