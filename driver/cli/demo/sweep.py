"""Nothing of the demonstration stays on the machine, however it ended."""

import contextlib
import time
from pathlib import Path

from ...host import loop, mounts, tree
from ...model.errors import DomainError

PATIENCE = 10.0
PAUSE = 0.1


def left_in(directory: Path) -> tuple[list[str], list[loop.LoopDevice]]:
    """What is mounted below ``directory``, the innermost first, and the loop devices of files there."""
    prefix = f"{directory}/"
    mounted = [entry.target for entry in mounts.mountinfo() if entry.target.startswith(prefix)]
    devices = [one.device for one in loop.all_devices() if one.backing_path.startswith(prefix)]
    return mounted[::-1], devices


def sweep(directory: Path, patience: float = PATIENCE) -> list[str]:
    """The directory is gone with all that was mounted in it; what resisted, in words, otherwise.

    A volume's device holds a file of the pool open, so what can go goes first and the rest is tried again. A mount
    namespace that somebody made meanwhile has copies of our mounts, and keeps their devices until it ends.
    """
    until = time.monotonic() + patience
    while time.monotonic() < until:
        mounted, devices = left_in(directory)
        if not mounted and not devices:
            break
        for path in mounted:
            with contextlib.suppress(DomainError):
                mounts.ensure_unmounted(path)
        for device in devices:
            with contextlib.suppress(DomainError):
                loop.detach(device)
        if any(left_in(directory)):
            time.sleep(PAUSE)
    mounted, devices = left_in(directory)
    if mounted or devices:
        return [f"mounted: {path}" for path in mounted] + [f"attached: {device.path}" for device in devices]
    with contextlib.suppress(DomainError):
        tree.remove_tree(str(directory))
        return []
    return [f"directory: {directory}"]
