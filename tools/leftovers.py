"""What a lane left behind on the machine, found by the marks every lane's work carries, and cleared away.

A process is the lane's when it is in the lane's session or has the lane's mark in its environment (a daemon that made
a session of its own still has it). A mount or loop device is the lane's when it lies below the lane's directory.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

MARK = "HOLDALL_LANE_MARK"
"""Environment variable with a value unique to one run of one lane."""


def processes(session: int, mark: str) -> dict[int, str]:
    """Live processes of the lane, by pid, with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            # Fields after the parenthesised name, which may itself hold spaces: state, ppid, pgrp, session (proc(5)).
            state, _, group, owner = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            marked = f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if state not in "ZX" and (session in (int(group), int(owner)) or marked):
            found[int(entry.name)] = command[:200]
    return found


def mounts(below: Path) -> list[str]:
    """Mount points at or below the directory, innermost and latest first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        # Blank, tab, newline and backslash stand as octal escapes (proc(5)).
        point = os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1"))
        if _inside(point, below):
            points.append(point)
    return points[::-1]


def loops(below: Path) -> dict[str, str]:
    """Loop devices whose backing file lies (or lay, if deleted) below the directory, with that file."""
    found = {}
    for entry in sorted(Path("/sys/block").glob("loop*/loop/backing_file")):
        try:
            backing = os.fsdecode(entry.read_bytes()).rstrip("\n").removesuffix(" (deleted)")
        except OSError:
            continue
        if _inside(backing, below):
            found[f"/dev/{entry.parent.parent.name}"] = backing
    return found


def kill(session: int, mark: str, *, patience: float) -> list[str]:
    """Kill the lane's processes; returns a sentence for each.

    They get ``patience`` seconds to end by themselves first: one that was just told to stop is no leak.
    """
    deadline = time.monotonic() + patience
    while (alive := processes(session, mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    said = [f"process {pid} still ran: {command}" for pid, command in alive.items()]
    # Bounded, since one in uninterruptible sleep dies only once its mount is gone.
    for _ in range(100):
        for pid in alive:
            _kill(pid)
        time.sleep(0.05 if alive else 0)
        alive = processes(session, mark) if alive else {}
    return said


def release(below: Path) -> list[str]:
    """Unmount and detach everything at or below the directory; returns a sentence for each."""
    said = []
    for point in mounts(below):
        said.append(f"still mounted: {point}")
        _unmount(point)
    for device, backing in loops(below).items():
        said.append(f"loop device still attached: {device} to {backing}")
        _run("losetup", "--detach", device)
    return said


def _inside(path: str, directory: Path) -> bool:
    return path == str(directory) or path.startswith(f"{directory}/")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _unmount(point: str) -> None:
    # A filesystem left frozen would keep whoever unmounts it waiting for ever.
    _run("fsfreeze", "--unfreeze", point)
    if _run("umount", point) != 0:
        _run("umount", "--lazy", point)


def _run(*command: str) -> int:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20).returncode
    except subprocess.TimeoutExpired:
        return -1
