"""Real filesystems to put pools on, made once per session and taken away at its end, also after a failure."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MAKERS = {
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1", "-s", "size=4096"],
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "btrfs": ["mkfs.btrfs", "-q"],
}


@pytest.fixture(scope="session")
def filesystems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A mounted filesystem of 2 GiB of each kind, by name. Import it in a lane's conftest."""
    root = tmp_path_factory.mktemp("filesystems")
    mounted: dict[str, Path] = {}
    try:
        for kind, maker in MAKERS.items():
            image = root / f"{kind}.img"
            with image.open("wb") as file:
                os.truncate(file.fileno(), 2 << 30)
            subprocess.run([*maker, str(image)], check=True, capture_output=True)
            target = root / kind
            target.mkdir()
            subprocess.run(["mount", "-o", "loop", str(image), str(target)], check=True, capture_output=True)
            mounted[kind] = target
        yield mounted
    finally:
        for target in mounted.values():
            subprocess.run(["umount", "-R", str(target)], check=True, capture_output=True)
