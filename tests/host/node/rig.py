"""A node to test on: the real engine and plugin over real pools, and the directories a kubelet would make."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from driver.engine.engine import Engine
from driver.host import loop, mounts
from driver.model.capability import AccessMode, Capability
from driver.model.config import Config
from driver.model.pool import PoolConfig
from driver.model.sizes import MIB, SizeRange
from driver.model.volume import Source, Volume, VolumeRequest
from driver.node.plugin import NodePlugin

WRITER = AccessMode.SINGLE_NODE_MULTI_WRITER


class Kind(msgspec.Struct, frozen=True):
    """A kind of volume: the filesystem its pool lies on, the pool's backend, and how the volume is asked for."""

    name: str
    below: str
    backend: str
    capability: Capability
    size: int = 64 * MIB

    @property
    def is_block(self) -> bool:
        return self.capability.access == "block"


KINDS = (
    Kind("image-ext4", "xfs", "image", Capability("mount", WRITER, "ext4")),
    Kind("image-xfs", "xfs", "image", Capability("mount", WRITER, "xfs"), 300 * MIB),
    Kind("image-btrfs", "xfs", "image", Capability("mount", WRITER, "btrfs"), 256 * MIB),
    Kind("image-block", "xfs", "image", Capability("block", WRITER)),
    Kind("directory", "xfs", "directory", Capability("mount", WRITER)),
    Kind("btrfs", "btrfs", "btrfs", Capability("mount", WRITER)),
)
IMAGE_EXT4 = KINDS[0]
MAKERS = {
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1", "-s", "size=4096"],
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "btrfs": ["mkfs.btrfs", "-q"],
}


@contextmanager
def filesystem(root: Path, kind: str, size: int = 16 << 30) -> Iterator[Path]:
    """A filesystem of its own, mounted below ``root``."""
    image = root / f"{kind}.img"
    with image.open("wb") as file:
        os.truncate(file.fileno(), size)
    subprocess.run([*MAKERS[kind], str(image)], check=True, capture_output=True)
    target = root / kind
    target.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(target)], check=True, capture_output=True)
    try:
        yield target
    finally:
        clear(root)


def clear(root: Path) -> None:
    """Nothing below ``root`` is mounted, and no loop device has a file there."""
    # Asked first: a file on a filesystem that is no longer mounted has no path.
    attached = [one for one in loop.all_devices() if one.backing_path.startswith(f"{root}/")]
    for entry in reversed(mounts.mountinfo()):
        if entry.target == str(root) or entry.target.startswith(f"{root}/"):
            subprocess.run(["umount", "-l", entry.target], check=False, capture_output=True)
    for one in sorted(attached, key=lambda one: -len(one.backing_path)):
        if loop.verify(one.device, one.st_dev, one.st_ino):
            # Not loop.detach: where another process has a copy of our mounts, the kernel frees it when that one ends.
            subprocess.run(["losetup", "-d", one.device.path], check=False, capture_output=True)


class Node:
    """One node's life, over any number of processes: ``restart`` makes new objects over what the old ones left."""

    def __init__(self, root: Path, pool: Path, backend: str, *, max_volumes: int = 128) -> None:
        self.root = root
        self.pool = pool
        self.config = Config(
            node_id="node-a",
            state_dir=str(root / "state"),
            max_volumes_per_node=max_volumes,
            pools=(PoolConfig(name="pool", backend=backend, path=str(pool)),),
            pool_patience=5.0,
        )
        self.engine: Engine
        self.plugin: NodePlugin

    async def start(self) -> "Node":
        self.engine = Engine(self.config)
        await self.engine.start()
        self.plugin = NodePlugin(self.engine, self.config)
        await self.plugin.start()
        return self

    async def stop(self) -> None:
        await self.plugin.stop()
        await self.engine.stop()

    async def restart(self) -> None:
        """A new process, in effect."""
        await self.stop()
        await self.start()

    async def reboot(self) -> None:
        """As ``restart``, with every mount and loop device of the volumes gone."""
        await self.stop()
        clear(self.root / "kubelet")
        clear(self.root / "state" / "inline")
        for attached in loop.all_devices():
            if attached.backing_path.startswith(f"{self.pool}/"):
                loop.detach(attached.device)
        await self.start()

    def forget(self) -> None:
        """The notes of what is in use are lost."""
        for use in self.engine.uses.all():
            self.engine.uses.drop(use.volume_id)

    async def create(self, name: str, kind: Kind, *, size: int = 0, source: Source | None = None) -> Volume:
        return await self.engine.volumes.create(
            VolumeRequest(
                name=name,
                capabilities=(kind.capability,),
                size=SizeRange(required=size or kind.size),
                source=source,
            )
        )

    def staging(self, name: str) -> str:
        """A staging path, made as kubelet makes it."""
        path = self.root / "kubelet" / "plugins" / name / "globalmount"
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def target(self, name: str) -> str:
        """A target path whose parent is there, as kubelet makes it."""
        path = self.root / "kubelet" / "pods" / name
        path.mkdir(parents=True, exist_ok=True)
        return str(path / "mount")


def write(path: str, text: str, *, block: bool = False) -> None:
    """``text`` is in the volume at ``path``, flushed to its device."""
    name = path if block else f"{path}/file"
    data = text.encode().ljust(4096, b"\0") if block else text.encode()
    fd = os.open(name, os.O_WRONLY | (0 if block else os.O_CREAT | os.O_TRUNC), 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def read(path: str, *, block: bool = False) -> str:
    """What ``write`` left."""
    if not block:
        return Path(path, "file").read_text()
    with open(path, "rb") as file:
        return file.read(4096).rstrip(b"\0").decode()
