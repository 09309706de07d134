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
    """Loop devices whose backing file lies (or lay, if deleted) below the directory, with that file; outer ones first.

    Also those on a filesystem of such a device: once that is unmounted, their file's path no longer says where it was.
    """
    listed = _backing()
    found: dict[str, str] = {}
    numbers: set[str] = set()
    while new := {
        device: file
        for device, (file, number) in listed.items()
        if device not in found and (_inside(file, below) or number in numbers)
    }:
        found |= new
        numbers |= {_number(device) for device in new}
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
    # Inner ones first: each holds the filesystem of the outer one, mounted or not.
    for device, backing in reversed(loops(below).items()):
        said.append(f"loop device still attached: {device} to {backing}")
        _run("losetup", "--detach", device)
    return said


def _inside(path: str, directory: Path) -> bool:
    return path == str(directory) or path.startswith(f"{directory}/")


def _backing() -> dict[str, tuple[str, str]]:
    """Each attached loop device's backing file, and the number ``major:minor`` of the device that file lies on."""
    command = ("losetup", "--list", "--noheadings", "--output", "NAME,BACK-MAJ:MIN")
    listed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=20)
    found = {}
    for device, number in (line.split() for line in listed.stdout.splitlines() if len(line.split()) == 2):
        try:
            # From sysfs, since losetup changes what it cannot print.
            file = (Path("/sys/block") / Path(device).name / "loop" / "backing_file").read_bytes()
        except OSError:
            continue
        found[device] = (os.fsdecode(file).rstrip("\n").removesuffix(" (deleted)"), number)
    return found


def _number(device: str) -> str:
    try:
        number = os.stat(device).st_rdev
    except FileNotFoundError:
        return ""
    return f"{os.major(number)}:{os.minor(number)}"


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
