"""The keys of a btrfs pool's ``[[pool]]`` table."""

import msgspec

from ...model import sizes
from ...model.errors import InvalidArgument
from ...model.pool import PoolConfig
from .. import options
from .quota import MODES, QGROUP


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """``image`` empty: the pool is the directory ``path`` of a btrfs filesystem; else a filesystem of its own in that
    file, of ``size`` bytes (0: what the host has free, less ``host_floor``; None: own_image.py chooses the floor)."""

    image: str = ""
    size: int = 0
    host_floor: int | None = None
    quota: str = QGROUP


def read(config: PoolConfig) -> Settings:
    """InvalidArgument naming the key that is unknown, misshapen or missing."""
    options.check_known(config, Settings.__struct_fields__)
    settings = Settings(
        image=options.path(config, "image"),
        size=sizes.round_down(options.size(config, "size")),
        host_floor=options.size(config, "host_floor") if "host_floor" in config.options else None,
        quota=options.choice(config, "quota", MODES, QGROUP),
    )
    if not settings.image and not config.path:
        raise InvalidArgument(
            f"pool {config.name} has neither path (a directory on btrfs) nor image (a file to be made)"
        )
    for key in ("size", "host_floor"):
        if key in config.options and not settings.image:
            raise InvalidArgument(f"pool {config.name}: {key} belongs to a pool with image, and {config.name} has none")
    if config.path and not config.path.startswith("/"):
        raise InvalidArgument(f"pool {config.name}: path = {config.path!r} is not an absolute path")
    return settings
