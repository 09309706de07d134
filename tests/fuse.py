"""A FUSE filesystem that can be made to hang: Debian's bindfs, stopped by SIGSTOP and continued by SIGCONT.

To the kernel, and so to whoever asks for its files, a stopped daemon is a dead server.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Fuse(NamedTuple):
    """A bindfs mount of ``below``; SIGSTOP to ``pid`` hangs it."""

    mount: Path
    pid: int
    below: Path


@contextlib.contextmanager
def mounted(directory: Path) -> Iterator[Fuse]:
    """Such a mount in ``directory``; taken away at the end, hung or not."""
    below, mount = directory / "below", directory / "fuse"
    below.mkdir()
    mount.mkdir()
    process = subprocess.Popen(["bindfs", "-f", str(below), str(mount)])
    try:
        until = time.monotonic() + 30
        while not os.path.ismount(mount):
            assert process.poll() is None, "bindfs ended"
            assert time.monotonic() < until, "bindfs did not mount"
            time.sleep(0.02)
        yield Fuse(mount, process.pid, below)
    finally:
        process.send_signal(signal.SIGCONT)
        subprocess.run(["umount", "-l", str(mount)], check=False, capture_output=True)
        process.kill()
        process.wait(10)
