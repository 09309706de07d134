"""Which backends are installed, and how a pool gets its own. Third parties add theirs through the entry-point group."""

import functools
import importlib.metadata
from pathlib import Path

from ..model.errors import InvalidArgument
from ..model.pool import PoolConfig
from .base import Backend

GROUP = "holdall.backends"


@functools.cache
def known() -> tuple[str, ...]:
    """The names that ``backend = "…"`` may have, sorted. Read once: what is installed does not change under a process, and
    reading it takes milliseconds, several times what a create takes."""
    return tuple(sorted({entry.name for entry in importlib.metadata.entry_points(group=GROUP)}))


def create(config: PoolConfig, root: Path) -> Backend:
    """The backend of a pool, not opened yet. Only this backend's own module is imported.

    Raises InvalidArgument when no backend of that name is installed, naming those that are, and for what the backend
    itself finds wrong in ``config``.
    """
    try:
        backend: Backend = implementation(config.backend)(config, root)
    except LookupError:
        raise InvalidArgument(
            f"pool {config.name}: backend {config.backend!r} is not known; known are {', '.join(known()) or 'none'}"
        ) from None
    return backend


def implementation(name: str) -> type:
    """The class behind a backend's name: what it can do is told by the Protocols it satisfies. LookupError for none."""
    for entry in importlib.metadata.entry_points(group=GROUP, name=name):
        found: type = entry.load()
        return found
    raise LookupError(name)
