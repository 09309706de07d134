"""What a mounted xfs says of itself (XFS_IOC_FSGEOMETRY_V1, ioctl_xfs_fsgeometry(2))."""

import fcntl
import os
import struct

import msgspec

from .failure import during

FSGEOMETRY_V1 = 0x80705864
# struct xfs_fsop_geom_v1: block size at 0, data blocks at 32, flags at 92.
GEOMETRY = struct.Struct("=I28xQ52xI16x")
REFLINK = 1 << 20


class Geometry(msgspec.Struct, frozen=True):
    """``size``: the bytes it claims of its device. ``reflink``: whether files on it can share extents."""

    size: int
    reflink: bool


def geometry(path: str) -> Geometry:
    """The geometry of the xfs mounted at ``path``. Raises HostFailed (ENOTTY where it is none)."""
    with during(f"asking for the geometry of {path}"):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            unit, blocks, flags = GEOMETRY.unpack(fcntl.ioctl(fd, FSGEOMETRY_V1, bytes(GEOMETRY.size)))
        finally:
            os.close(fd)
    return Geometry(size=unit * blocks, reflink=bool(flags & REFLINK))
