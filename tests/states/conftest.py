"""Pools to die in."""

import os
from pathlib import Path

import pytest

from tests.filesystems import filesystems

from .places import Place

__all__ = ["filesystems", "place"]

PLACES = {
    "image-xfs": ("image", "xfs", True),
    "image-ext4": ("image", "ext4", False),
    "btrfs": ("btrfs", "btrfs", True),
    "directory-ext4": ("directory", "ext4", False),
}


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, filesystems: dict[str, Path]) -> Place:
    """A directory for a new pool."""
    backend, kind, shares = PLACES[request.param]
    path = filesystems[kind] / f"pool-{os.urandom(4).hex()}"
    path.mkdir()
    return Place(name=request.param, backend=backend, path=path, shares=shares)
