"""The pool there is when the configuration names none: volumes as images, snapshots in constant time.

In the state directory itself if its filesystem can share extents; else in an XFS filesystem of our own, in a sparse file
there. Never a bare directory that cannot share extents: it could not cut a snapshot of a volume in use. Not btrfs: under
a loop device it is far slower, and it turns read-only for good when the host's filesystem is full, where XFS answers
ENOSPC and goes on.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..host import reflink
from ..host.failure import during
from ..model.errors import InvalidArgument
from ..model.pool import PoolConfig
from . import options as pool_options
from .layout import HOME

NAME = "default"
DIRECTORY, IMAGE = "pool", "pool.img"
POOL_KEYS = ("name", "device_class", "thin_factor", "schedulable")


def config(state_dir: str, settings: Mapping[str, Any]) -> PoolConfig:
    """The default pool of ``state_dir``, which exists. What an earlier start chose is kept.

    ``settings`` are the keys of ``[default_pool]``: ``name``, ``device_class``, ``thin_factor``, ``schedulable``;
    ``floor`` (bytes kept free on the host's filesystem); the image backend's ``direct_io`` and ``provisioning``; and
    ``size`` for an image of our own. Sizes may be text such as "100GiB". Raises InvalidArgument naming a key that has the
    wrong type or cannot apply (the backend refuses unknown ones), HostFailed.
    """
    own = {"name": NAME, **{key: value for key, value in settings.items() if key in POOL_KEYS}}
    options = {key: value for key, value in settings.items() if key not in POOL_KEYS}
    state = os.path.abspath(state_dir)
    if not _shares(state):
        if "floor" in options:
            options["host_floor"] = options.pop("floor")
        return _pool(own, options={"image": f"{state}/{IMAGE}", **options})
    if "size" in options:
        raise InvalidArgument(
            f"default_pool: 'size' has no meaning here: the filesystem of {state} shares extents, so the pool is a "
            "directory on it"
        )
    path = f"{state}/{DIRECTORY}"
    with during(f"making {path}"):
        Path(path).mkdir(mode=0o700, exist_ok=True)
    floor = pool_options.size(_pool(own, options=options), "floor")
    return _pool(own, path=path, floor=floor, options={key: value for key, value in options.items() if key != "floor"})


def _shares(state: str) -> bool:
    if os.path.lexists(f"{state}/{IMAGE}"):
        return False
    return os.path.isdir(f"{state}/{DIRECTORY}/{HOME}") or reflink.supported(state)


def _pool(own: dict[str, Any], **rest: Any) -> PoolConfig:
    try:
        return msgspec.convert({**own, "backend": "image", **rest}, PoolConfig)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"default_pool: {error}") from error
