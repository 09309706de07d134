"""What a tree is, so that a copy can be compared with its source: everything stat(2), listxattr(2) and read(2) tell."""

import os
import socket
import stat
import struct
from pathlib import Path
from typing import Any

MIB = 1 << 20


def described(root: str | Path) -> dict[str, dict[str, Any]]:
    """Every entry below ``root``, and ``root`` itself as ``.``: kind, mode, owner, times, attributes, data; files with
    several names by the first of them."""
    found: dict[str, dict[str, Any]] = {}
    first_names: dict[tuple[int, int], str] = {}
    for directory, subdirectories, files in os.walk(root):
        subdirectories.sort()
        for name in ["", *sorted(subdirectories), *sorted(files)]:
            path = os.path.join(directory, name) if name else directory
            relative = os.path.relpath(path, root)
            if name in subdirectories and not os.path.islink(path):
                continue
            found[relative] = _entry(path, relative, first_names)
    return found


def _entry(path: str, relative: str, first_names: dict[tuple[int, int], str]) -> dict[str, Any]:
    seen = os.lstat(path)
    entry: dict[str, Any] = {
        "mode": seen.st_mode,
        "owner": (seen.st_uid, seen.st_gid),
        "modified": seen.st_mtime_ns,
        "device": seen.st_rdev,
        "xattrs": {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        },
    }
    if not stat.S_ISDIR(seen.st_mode):
        entry["same as"] = first_names.setdefault((seen.st_dev, seen.st_ino), relative)
    if stat.S_ISLNK(seen.st_mode):
        entry["to"] = os.readlink(path)
    elif stat.S_ISREG(seen.st_mode):
        with open(path, "rb") as file:
            entry["data"] = file.read()
    return entry


def everything(root: Path) -> None:
    """A tree with one of everything a filesystem can hold, hostile names among it."""
    (root / "sub" / "deeper").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "plain").write_bytes(os.urandom(100_000))
    (root / "nothing").write_bytes(b"")
    (root / "sub" / "deeper" / "file").write_text("x")
    os.link(root / "plain", root / "sub" / "second name")
    os.link(root / "plain", root / "sub" / "deeper" / "third name")
    sparse = root / "sparse"
    with sparse.open("wb") as file:
        file.seek(40 * MIB)
        file.write(b"in the middle of nothing")
        file.truncate(64 * MIB)
    os.symlink("../outside", root / "sub" / "relative")
    os.symlink("/etc/passwd", root / "absolute")
    os.symlink("x" * 300, root / "dangling")
    os.link(root / "dangling", root / "sub" / "dangling too", follow_symlinks=False)
    os.mkfifo(root / "fifo", 0o620)
    os.mknod(root / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.mknod(root / "block", stat.S_IFBLK | 0o600, os.makedev(250, 99))
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(root, os.O_RDONLY)
        one.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    for hostile in ("new\nline", "bad\udcff\udcfe", "-rf", " ", "tree", "links", ".holdall", "é" * 100, "\x01\x1b[31m"):
        (root / hostile).write_text(hostile, errors="surrogateescape")
    os.setxattr(root / "plain", "user.colour", b"red")
    os.setxattr(root / "plain", "trusted.secret", bytes(range(256)))
    os.setxattr(root / "sub", "user.on directory", b"")
    os.setxattr(root / "plain", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
    for name in ("system.posix_acl_access", "system.posix_acl_default"):
        os.setxattr(root / "sub", name, acl())
    os.chown(root / "plain", 1234, 5678)
    os.chown(root / "absolute", 4321, 8765, follow_symlinks=False)
    os.chmod(root / "empty", 0o3711)
    os.chmod(root / "nothing", 0o6755)
    os.chmod(root, 0o2770)
    for path in (root / "plain", root / "sub", root / "absolute", root):
        os.utime(path, ns=(1_000_000_001, 1_234_567_890_123_456_789), follow_symlinks=False)


def acl() -> bytes:
    """An ACL that gives user 1111 more than the rest (acl(5); linux/posix_acl_xattr.h)."""
    entries = ((0x01, 7, -1), (0x02, 6, 1111), (0x04, 5, -1), (0x10, 7, -1), (0x20, 1, -1))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
