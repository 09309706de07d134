"""Pools given up, for all controllers of a cluster: keys ``forgotten.POOL`` of the ConfigMap they share."""

from collections.abc import Callable, Mapping

import msgspec
import structlog

from ..fleet.forgotten import GivenUp
from ..model import errors
from .state import State

KEY = "forgotten."

log = structlog.get_logger()


class KubeForgotten:
    """Implements fleet.forgotten.Forgotten. ``state`` has to be run, and read once before ``open``."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._pools: dict[str, GivenUp] = {}
        self._listeners: list[Callable[[], None]] = []

    async def open(self) -> None:
        """DataDamaged when a key cannot be read: without it, a pool given up would be served again."""
        self._pools = self._read()
        self._state.follow(self._changed)

    def all(self) -> Mapping[str, GivenUp]:
        return self._pools

    async def forget(self, pool_id: str, given_up: GivenUp) -> None:
        await self._state.put(f"{KEY}{pool_id}", msgspec.json.encode(given_up).decode())

    async def remember(self, pool_id: str) -> None:
        await self._state.put(f"{KEY}{pool_id}", None)

    def follow(self, changed: Callable[[], None]) -> None:
        self._listeners.append(changed)

    def _changed(self) -> None:
        try:
            found = self._read()
        except errors.DataDamaged as error:
            # What was known stays so; a start would be refused.
            log.error("forgotten pools not read", message=error.message)
            return
        if found != self._pools:
            self._pools = found
            for listener in self._listeners:
                listener()

    def _read(self) -> dict[str, GivenUp]:
        pools = {}
        for key, value in self._state.data.items():
            if key.startswith(KEY):
                try:
                    pools[key.removeprefix(KEY)] = msgspec.json.decode(value, type=GivenUp)
                except msgspec.MsgspecError as error:
                    raise errors.DataDamaged(
                        f"the state ConfigMap's key {key}, a pool that was given up, cannot be read: {error}; "
                        "delete that key, and forget the pool again"
                    ) from None
        return pools
