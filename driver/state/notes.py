"""Notes that must survive a killed process, but not a power cut: written to the kernel, never synced."""

import contextlib
import errno
import os
import threading
import zlib

import msgspec

from ..host.failure import during
from ..model import sizes
from ..model.errors import HostFailed, NoSpace

SLACK = 256 * sizes.KIB
"""Bytes of outdated lines that are put up with before the file is written anew."""


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A note as the boot ``boot`` put it; without ``value``, dropped. On disk behind its CRC-32."""

    boot: str
    key: str
    value: bytes | None = None


class NoteStore:
    """A file at ``path`` that grows by a line per change; implements engine.uses.Notes. Any thread may use it.

    Whatever of the file cannot be read, a power cut has torn: those notes are gone, and opening never fails for it.
    """

    def __init__(self, path: str, *, boot: str | None = None) -> None:
        """The notes at ``path``. ``boot`` names this run of the kernel. Raises NoSpace, HostFailed."""
        self._path = path
        self._boot = boot or _boot_id()
        self._lock = threading.Lock()
        self._lines: dict[str, Line] = {}
        with during(f"opening the notes {path}"):
            os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with open(self._fd, "rb", closefd=False) as file:
                torn = self._read(file.read())
            self._size = os.lseek(self._fd, 0, os.SEEK_END)
        self._live = sum(len(_written(line)) for line in self._lines.values())
        if torn:
            self._compact()

    @property
    def same_boot(self) -> bool:
        """Whether every note was put since the machine started: if not, what it tells of mounts is to be looked at."""
        with self._lock:
            return all(line.boot == self._boot for line in self._lines.values())

    def put(self, key: str, value: bytes) -> None:
        """Survives us when it returns. Raises NoSpace, HostFailed; then the note is as before."""
        self._append(Line(self._boot, key, value))

    def drop(self, key: str) -> None:
        """No such note; no error when there was none. Raises NoSpace, HostFailed."""
        if key in self._lines:
            self._append(Line(self._boot, key))

    def all(self) -> dict[str, bytes]:
        """Every note, also those of an earlier boot."""
        with self._lock:
            return {key: line.value for key, line in self._lines.items() if line.value is not None}

    def close(self) -> None:
        """The file is closed; nothing more may be put. Nothing happens if it was."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _read(self, data: bytes) -> bool:
        """Take in what is there; whether some of it was no line of ours."""
        torn = not data.endswith(b"\n") and bool(data)
        for written in data.splitlines():
            try:
                if int(written[:8], 16) != zlib.crc32(written[9:]):
                    raise ValueError("checksum")
                line = msgspec.json.decode(written[9:], type=Line)
            except (ValueError, msgspec.MsgspecError):
                torn = True
            else:
                self._keep(line)
        return torn

    def _keep(self, line: Line) -> None:
        if line.value is None:
            self._lines.pop(line.key, None)
        else:
            self._lines[line.key] = line

    def _append(self, line: Line) -> None:
        written = _written(line)
        with self._lock:
            with during(f"writing a note to {self._path}"):
                self._write(written)
            self._size += len(written)
            old = self._lines.get(line.key)
            self._live += (len(written) if line.value is not None else 0) - (len(_written(old)) if old else 0)
            self._keep(line)
            if self._size - self._live > SLACK:
                self._compact()

    def _write(self, written: bytes) -> None:
        try:
            if os.write(self._fd, written) == len(written):
                return
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            # Half a line must not spoil the next one.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise

    def _compact(self) -> None:
        """Written anew without what is outdated; where there is no room for that, it goes on as it is."""
        new = f"{self._path}.new"
        data = b"".join(_written(line) for line in self._lines.values())
        with contextlib.suppress(NoSpace, HostFailed), during(f"writing the notes {self._path} anew"):
            fd = os.open(new, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                if os.write(fd, data) < len(data):
                    return
                os.rename(new, self._path)
                fd, self._fd = self._fd, fd
                self._size = self._live = len(data)
            finally:
                os.close(fd)


def _written(line: Line) -> bytes:
    body = msgspec.json.encode(line)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
