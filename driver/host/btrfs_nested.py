"""Subvolumes that users made inside a subvolume, found and removed by number: no path, however deep, is ever walked."""

import ctypes
import errno
import fcntl
import os
import struct
from typing import NamedTuple

from . import btrfs_tree, libc, tree

SNAP_DESTROY_V2 = 0x5000943F
SUBVOL_GETFLAGS = 0x80089419
SUBVOL_SETFLAGS = 0x4008941A
SUBVOL_RDONLY = 0x2
FLAGS = struct.Struct("=Q")
ROOT_INODE = 256
# struct btrfs_ioctl_vol_args_v2: fd, transid, flags, four words of which we use none, name.
VOL_ARGS_V2 = struct.Struct("=qQQ32x4040s")

# The item that hangs a subvolume into its parent: directory's inode, sequence, length of the name that follows.
ROOT_REF = 156
REFERENCE = struct.Struct("=QQH")

# struct file_handle with a struct btrfs_fid without parent: size, type, inode, tree, generation (0: any).
HANDLE = struct.Struct("=IIQQI")
HANDLE_BYTES = 20
WITHOUT_PARENT = 0x4D


class Nested(NamedTuple):
    """Subvolume ``number``, which hangs under ``name`` in the directory ``inode`` of the subvolume ``parent``."""

    number: int
    parent: int
    inode: int
    name: bytes


def below(fd: int, number: int) -> list[Nested]:
    """All subvolumes nested in subvolume ``number``, each before those nested in it. Raises OSError."""
    found: list[Nested] = []
    parents = [number]
    while parents:
        parent = parents.pop()
        for item in btrfs_tree.items(fd, btrfs_tree.ROOT_TREE, parent, ROOT_REF):
            inode, _, length = REFERENCE.unpack_from(item.data)
            name = item.data[REFERENCE.size : REFERENCE.size + length]
            found.append(Nested(item.offset, parent, inode, name))
            parents.append(item.offset)
    return found


def delete_below(fd: int, number: int) -> None:
    """Nothing is nested in subvolume ``number``, which is writable now. Raises OSError (ENOTEMPTY if more come meanwhile)."""
    for nested in reversed(below(fd, number)):
        _make_writable(fd, nested.parent)
        inside = _open(fd, nested.parent, nested.inode)
        try:
            destroy(inside, nested.name)
        except FileNotFoundError:
            continue
        except PermissionError:
            # It, or the directory that names it, may be immutable or append-only (chattr(1)).
            _make_writable(fd, nested.number)
            tree.unlock(inside, ".")
            tree.unlock(inside, os.fsdecode(nested.name))
            destroy(inside, nested.name)
        finally:
            os.close(inside)


def destroy(parent: int, name: bytes) -> None:
    """Remove the subvolume ``name``, in which none is nested, from the directory ``parent``. Raises OSError."""
    fcntl.ioctl(parent, SNAP_DESTROY_V2, bytearray(VOL_ARGS_V2.pack(0, 0, 0, name)))


def _make_writable(fd: int, number: int) -> None:
    root = _open(fd, number, ROOT_INODE)
    try:
        (flags,) = FLAGS.unpack(fcntl.ioctl(root, SUBVOL_GETFLAGS, bytes(FLAGS.size)))
        if flags & SUBVOL_RDONLY:
            fcntl.ioctl(root, SUBVOL_SETFLAGS, FLAGS.pack(flags & ~SUBVOL_RDONLY))
    finally:
        os.close(root)


def _open(fd: int, number: int, inode: int) -> int:
    """A descriptor of a directory of the filesystem of ``fd``, by number (open_by_handle_at(2))."""
    handle = ctypes.create_string_buffer(HANDLE.pack(HANDLE_BYTES, WITHOUT_PARENT, inode, number, 0), HANDLE.size)
    opened: int = libc.open_by_handle_at(fd, handle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if opened < 0:
        error = libc.failed()
        if error.errno == errno.ESTALE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        raise error
    return opened
