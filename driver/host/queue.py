"""A block device's request queue, as sysfs shows it (Documentation/ABI/stable/sysfs-block)."""

import os

from .effect import effect
from .failure import during


@effect
def forbid_discard(device: str) -> None:
    """The device takes no discards any more: a promise that blocks stay, also when fstrim(8) runs over all mounts.

    Holds until the device's number is made anew (``loop.make_anew``): the kernel then takes the granularity for 0, and
    refuses every other limit as no multiple of it. Raises HostFailed (EROFS where /sys is read-only).
    """
    limit = f"/sys/block/{os.path.basename(os.path.realpath(device))}/queue/discard_max_bytes"
    with during(f"forbidding discards to {device}"):
        with open(limit, encoding="ascii") as file:
            if int(file.read()) == 0:
                return
        with open(limit, "w", encoding="ascii") as file:
            file.write("0")
