"""Zeros written over what is there."""

import os

from .effect import effect
from .failure import during

PIECE = memoryview(bytes(1 << 20))


@effect
def write(fd: int, offset: int, length: int) -> None:
    """``length`` bytes from ``offset`` on are zeros, really written: blocks keep their place. Not synced.

    Raises NoSpace (where the bytes had no blocks, or shared ones), HostFailed.
    """
    with during(f"writing {length} zeros at {offset}"):
        end = offset + length
        while offset < end:
            offset += os.pwrite(fd, PIECE[: end - offset], offset)
