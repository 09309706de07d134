"""A state directory, and the default pool in it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from driver.backends import default_pool, registry
from driver.backends.base import Backend
from driver.host import loop, mounts
from driver.model.pool import PoolConfig

from . import pools
from .pools import Ground
from .world import World

OWN = next(kind for kind in pools.KINDS if kind.name == "image-default")
SETTINGS = {"size": "320MiB", "floor": 0}


class State:
    """A state directory on a given filesystem, and what the driver makes of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = path / "pools" / "default"
        self.image = path / "pool.img"
        self.mount_point = self.root / "mnt"
        self._opened: list[Backend] = []

    def config(self, **settings: object) -> PoolConfig:
        return default_pool.config(str(self.path), settings or SETTINGS)

    def opened(self, **settings: object) -> Backend:
        backend = registry.create(self.config(**settings), self.root)
        self._opened.append(backend)
        backend.open()
        return backend

    def world(self, **settings: object) -> World:
        world = World(OWN, Ground(self.config(**settings), self.root, str(self.image), ""))
        self._opened.append(world.backend)
        return world

    @property
    def devices(self) -> list[str]:
        return [one.device.path for one in loop.all_devices() if one.backing_path.startswith(str(self.path))]

    @property
    def mounted(self) -> bool:
        found = mounts.look(str(self.mount_point))
        return found is not None and found.is_root

    def clear(self) -> None:
        for backend in self._opened:
            backend.close()
        pools.release(str(self.mount_point))
        mounts.ensure_unmounted(str(self.mount_point))
        pools.release(str(self.path))


@contextlib.contextmanager
def state_on(mount_point: str, name: str) -> Iterator[State]:
    path = Path(mount_point) / name
    path.mkdir()
    state = State(path)
    try:
        yield state
    finally:
        state.clear()
        pools.run("rm", "-rf", "--one-file-system", str(path))
