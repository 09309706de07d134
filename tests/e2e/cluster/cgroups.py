"""The nodes' places in the machine's control groups, version 1 or 2."""

import contextlib
import os
import signal
import time
from pathlib import Path


def make(name: str) -> None:
    """Every hierarchy has a group ``/NAME``, which kubelet asks of its cgroupRoot, with processors and memory to use."""
    for kind, root in _hierarchies():
        group = root / name
        for directory in reversed([group, *list(group.parents)[: len(Path(name).parts) - 1]]):
            directory.mkdir(exist_ok=True)
            if kind == "cgroup":
                # A new group of version 1 has none, and takes no process then (cpusets(7)).
                for file in ("cpuset.cpus", "cpuset.mems"):
                    if (directory / file).exists():
                        (directory / file).write_text((directory.parent / file).read_text())
            else:
                for controller in (directory.parent / "cgroup.controllers").read_text().split():
                    with contextlib.suppress(OSError):
                        (directory.parent / "cgroup.subtree_control").write_text(f"+{controller}")


def remove(name: str, patience: float = 10.0) -> None:
    """No hierarchy has a group ``/NAME`` or one below; what still runs in one is killed."""
    ends = time.monotonic() + patience
    while left := [group for _, root in _hierarchies() for group in _below(root / name)]:
        for group in left:
            with contextlib.suppress(OSError):
                for pid in (group / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(OSError):
                group.rmdir()
        if time.monotonic() > ends:
            raise RuntimeError(f"control groups that cannot be removed: {', '.join(map(str, left))}")
        time.sleep(0.02)


def _below(group: Path) -> list[Path]:
    """It and all below it, the deepest first."""
    return [Path(directory) for directory, _, _ in os.walk(group, topdown=False)]


def _hierarchies() -> list[tuple[str, Path]]:
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [(words[2], Path(words[1])) for words in lines if words[2] in ("cgroup", "cgroup2")]
