"""Which loop device holds which image. Remembered by the image's device and inode, believed only after one more look."""

import contextlib
import os
import time

from ...host import files, loop, loop_status, queue
from ...host.failure import during
from ...model.errors import FailedPrecondition, InUse
from ...model.volume import Volume
from .images import Images, is_thick
from .keys import WIPE

Key = tuple[int, int]
LATELY = 1.0
"""Seconds that one look through all devices serves many purges."""


class Attachments:
    """Loop devices of one pool's images. Only this process attaches them (it holds the pool's lock), so what it did not
    see at its start or do itself is not there: looking through all devices at every attach would cost 70 µs for each."""

    def __init__(self, images: Images, direct_io: str) -> None:
        self._images = images
        self._direct_io = direct_io
        self._known: dict[Key, loop.LoopDevice] = {}
        self._looked = 0.0

    def recall(self) -> None:
        """Devices that an earlier process left, or somebody else made, are known."""
        for one in loop.all_devices():
            # What another thread attached meanwhile is newer than what was seen.
            self._known.setdefault((one.st_dev, one.st_ino), one.device)
        self._looked = time.monotonic()

    def attach(self, volume: Volume, read_only: bool) -> str:
        """The device of exactly this volume, by ``base.Devices``. DataDamaged when its image is missing or too short."""
        path = self._images.found(volume)
        with during(f"looking at {path}"):
            found = os.stat(path)
        key = (found.st_dev, found.st_ino)
        device = self._verified(key)
        if device is None:
            device = self._attach(path, read_only)
        else:
            if device.read_only and not read_only:
                loop.detach(device)
                device = self._attach(path, read_only)
            # A device with another block size would change what the filesystem may be.
            loop.check(device, path, device.read_only)
            loop.refresh_size(device)
        self._known[key] = device
        if keeps_blocks(volume):
            queue.forbid_discard(device.path)
        return device.path

    def keep_blocks(self, volume: Volume) -> None:
        """What the user discards stays in the image, if the volume is attached; until it is detached, whatever comes."""
        if (device := self.attached(volume)) is not None:
            queue.forbid_discard(device.path)

    def attached(self, volume: Volume) -> loop.LoopDevice | None:
        """The device, when attached now."""
        found = self._images.look(volume)
        return self._verified((found.st_dev, found.st_ino)) if found else None

    def detach(self, volume: Volume) -> None:
        """Not attached any more. InUse when the kernel still uses the device."""
        found = self._images.look(volume)
        if found is not None:
            self._free((found.st_dev, found.st_ino))

    def free(self, path: str) -> None:
        """No loop device has the file at ``path``, whoever attached it more than LATELY ago. InUse."""
        with during(f"looking at {path}"):
            found = os.stat(path)
        if time.monotonic() - self._looked > LATELY:
            self.recall()
        self._free((found.st_dev, found.st_ino))

    def flush(self, volume: Volume) -> None:
        """What was written to the device so far is in the image."""
        device = self.attached(volume)
        if device is not None:
            files.fsync_file(device.path)

    def _attach(self, path: str, read_only: bool) -> loop.LoopDevice:
        device = loop.attach_anew(path, read_only=read_only)
        if self._direct_io == "on" and not device.direct_io:
            with contextlib.suppress(InUse):
                loop.detach(device)
            raise FailedPrecondition(
                f"{path} was attached without direct IO, which its filesystem does not offer; this pool has direct_io = on"
            )
        if self._direct_io == "off" and device.direct_io:
            return loop.buffer_io(device)
        return device

    def _free(self, key: Key) -> None:
        device = self._verified(key)
        if device is None:
            return
        loop.detach(device)
        self._known.pop(key, None)
        # A limit on discards would stay with the device's number, for whoever gets it next.
        if loop_status.discard_lost(device.number):
            loop.make_anew(device.number)

    def _verified(self, key: Key) -> loop.LoopDevice | None:
        device = self._known.get(key)
        if device is not None and not loop.verify(device, *key):
            self._known.pop(key, None)
            return None
        return device


def keeps_blocks(volume: Volume) -> bool:
    """Whether blocks the user discards stay in the image: those promised to be there, and those to be overwritten at the
    end (given back, they would keep what they held)."""
    return is_thick(volume) or volume.attributes.get(WIPE) == "zero"
