"""What the demonstration writes, and how it finds out whether it is all still there: files, checksums and journals."""

import hashlib
import os
import random
import threading
from pathlib import Path

from ...host import freeze

FILES, SIZE = 120, 256 * 1024
LINE = 41
"""Bytes of a journal's line: its number, a blank, 31 digits of a checksum and the line's end."""


def write_files(directory: Path) -> dict[str, str]:
    """120 files of 256 KiB, synced to the disk; their checksums by name."""
    randomness = random.Random(7)
    made = {}
    for number in range(FILES):
        name = f"picture-{number:03}.raw"
        content = randomness.randbytes(SIZE)
        (directory / name).write_bytes(content)
        made[name] = hashlib.sha256(content).hexdigest()
    freeze.sync_filesystem(str(directory))
    return made


def differences(directory: Path, wanted: dict[str, str]) -> tuple[list[str], list[str]]:
    """Names that are missing, and names whose content is another one."""
    missing, changed = [], []
    for name, digest in wanted.items():
        try:
            content = (directory / name).read_bytes()
        except FileNotFoundError:
            missing.append(name)
        else:
            if hashlib.sha256(content).hexdigest() != digest:
                changed.append(name)
    return missing, changed


def damage(directory: Path, names: list[str]) -> tuple[int, int]:
    """Half of the files are deleted, and a quarter overwritten; how many of each."""
    gone, overwritten = names[: len(names) // 2], names[len(names) // 2 : len(names) * 3 // 4]
    for name in gone:
        (directory / name).unlink()
    for name in overwritten:
        (directory / name).write_bytes(b"your files have been encrypted\n" * 1000)
    freeze.sync_filesystem(str(directory))
    return len(gone), len(overwritten)


def digest(path: Path, length: int) -> str:
    """The checksum of the first ``length`` bytes of a file or device."""
    running = hashlib.sha256()
    with path.open("rb") as file:
        while length and (part := file.read(min(length, 1 << 20))):
            running.update(part)
            length -= len(part)
    return running.hexdigest()


def write_at(path: Path, offset: int, content: bytes) -> None:
    """On the device, through its page cache."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, content, offset)
        os.fsync(fd)
    finally:
        os.close(fd)


class Journal:
    """Somebody who writes numbered lines all the time, to one file or to several in turn, and never stops to wait."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self.lines = 0
        self.error: OSError | None = None

    def __enter__(self) -> "Journal":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10.0)

    def _write(self) -> None:
        fds = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600) for path in self._paths]
        try:
            while not self._stop.wait(0.0005):
                for fd in fds:
                    os.write(fd, _line(self.lines))
                self.lines += 1
        except OSError as error:
            self.error = error
        finally:
            for fd in fds:
                os.close(fd)


def whole_lines(path: Path) -> int:
    """How many lines of a journal there are; -1 when they are not the first ones, complete and in order."""
    content = path.read_bytes()
    count = len(content) // LINE
    return count if content == b"".join(_line(number) for number in range(count)) else -1


def _line(number: int) -> bytes:
    return f"{number:08} {hashlib.sha256(str(number).encode()).hexdigest()[:31]}\n".encode()
