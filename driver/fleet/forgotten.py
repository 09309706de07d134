"""Pools given up: their node is gone for good, and what lay in them counts as deleted. Durable, and undone by hand only.

A forgotten pool that turns up again is not served: what was told deleted must not come back to its callers by itself.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from ..host import files
from ..model import errors, ids


class GivenUp(msgspec.Struct, frozen=True):
    """What the pool was called, the node that had it last, and when it was given up, in Unix seconds."""

    name: str
    node: str
    since: int


class Forgotten(Protocol):
    """Durable when a call returns. Raises domain errors only. Implemented here for one controller, in kube for several."""

    async def open(self) -> None:
        """Ready for the calls below."""

    def all(self) -> Mapping[str, GivenUp]:
        """By the pool's id; asks nobody."""

    async def forget(self, pool_id: str, given_up: GivenUp) -> None: ...

    async def remember(self, pool_id: str) -> None: ...

    def follow(self, changed: Callable[[], None]) -> None:
        """``changed`` is called after every change from now on."""


class ForgottenFile:
    """Implements Forgotten in ``forgotten.json`` of the state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "forgotten.json"
        self._pools: dict[str, GivenUp] = {}
        self._turn = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []

    async def open(self) -> None:
        """DataDamaged when the file cannot be read: without it, pools given up would be served again."""
        try:
            self._pools = await asyncio.to_thread(self._read)
        except (OSError, msgspec.MsgspecError) as error:
            raise errors.DataDamaged(
                f"{self._path}, which holds the pools that were given up, cannot be read: {error}; move it away, and "
                "forget them again"
            ) from error

    def _read(self) -> dict[str, GivenUp]:
        if not self._path.exists():
            return {}
        return msgspec.json.decode(self._path.read_bytes(), type=dict[str, GivenUp])

    def all(self) -> Mapping[str, GivenUp]:
        return self._pools

    async def forget(self, pool_id: str, given_up: GivenUp) -> None:
        await self._write(lambda pools: {**pools, pool_id: given_up})

    async def remember(self, pool_id: str) -> None:
        await self._write(lambda pools: {one: said for one, said in pools.items() if one != pool_id})

    async def _write(self, change: Callable[[dict[str, GivenUp]], dict[str, GivenUp]]) -> None:
        async with self._turn:
            pools = change(self._pools)
            await asyncio.to_thread(files.write_durably, str(self._path), msgspec.json.encode(pools))
            self._pools = pools
        for listener in self._listeners:
            listener()

    def follow(self, changed: Callable[[], None]) -> None:
        self._listeners.append(changed)


def given_up(forgotten: Forgotten, object_id: str) -> GivenUp | None:
    """Of the pool that ``object_id`` lies in; None when it was not given up, or the id is none of ours."""
    parts = ids.split(object_id)
    return forgotten.all().get(parts[0]) if parts else None


def sentence(pool_id: str, found: GivenUp) -> str:
    """What is said of a forgotten pool wherever it would have been served."""
    day = time.strftime("%Y-%m-%d", time.gmtime(found.since))
    return (
        f"pool {found.name} ({pool_id}) of node {found.node} was forgotten on {day}, and what is in it counts as deleted; "
        f"`holdall pool remember {pool_id}` undoes that"
    )
