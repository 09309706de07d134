"""Filesystems for pools, made once per session and taken away at its end, also after a failure."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .places import Place

MAKERS = {
    "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1", "-s", "size=4096"],
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "btrfs": ["mkfs.btrfs", "-q"],
}
PLACES = {
    "image-xfs": ("image", "xfs", True),
    "image-ext4": ("image", "ext4", False),
    "btrfs": ("btrfs", "btrfs", True),
    "directory-ext4": ("directory", "ext4", False),
}


@pytest.fixture(scope="session")
def filesystems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A mounted 1 GiB filesystem of each kind."""
    root = tmp_path_factory.mktemp("filesystems")
    mounted: dict[str, Path] = {}
    try:
        for kind, maker in MAKERS.items():
            image = root / f"{kind}.img"
            with image.open("wb") as file:
                os.truncate(file.fileno(), 1 << 30)
            subprocess.run([*maker, str(image)], check=True, capture_output=True)
            target = root / kind
            target.mkdir()
            subprocess.run(["mount", "-o", "loop", str(image), str(target)], check=True, capture_output=True)
            mounted[kind] = target
        yield mounted
    finally:
        for target in mounted.values():
            subprocess.run(["umount", "-R", str(target)], check=True, capture_output=True)


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, filesystems: dict[str, Path]) -> Place:
    """A directory for a new pool."""
    backend, kind, shares = PLACES[request.param]
    path = filesystems[kind] / f"pool-{os.urandom(4).hex()}"
    path.mkdir()
    return Place(name=request.param, backend=backend, path=path, shares=shares)
