"""Pages in order of id, with tokens that survive concurrent change: a token names the last id given, not a position."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from ..model import errors

T = TypeVar("T")
_CHECK = 10

VOLUMES, HEALTH = "volumes", "health"
"""Queries as tokens know them; a router's tokens over several nodes are made of the nodes' own."""


def snapshots_query(source_id: str = "", snapshot_id: str = "") -> str:
    """The query of a list of snapshots with these filters."""
    return f"snapshots {source_id} {snapshot_id}"


class Page(msgspec.Struct, Generic[T], frozen=True):
    """``next_token`` is empty at the end and only there."""

    entries: list[T]
    next_token: str = ""


def token(query: str, last_id: str) -> str:
    """Continues ``query`` after ``last_id``; at most 128 bytes."""
    return f"{last_id}~{_check(query, last_id)}"


def position(query: str, given: str) -> str:
    """The id to go on after; empty for no token. StaleToken when ``given`` was not made for this query."""
    if not given:
        return ""
    last_id, _, check = given.rpartition("~")
    if not last_id or check != _check(query, last_id):
        raise errors.StaleToken(f"starting_token {given[:128]!r} is not one this list gave out; start again without")
    return last_id


async def page(
    query: str,
    given: str,
    limit: int,
    shelves: Sequence[tuple[str, Callable[[str, int], Awaitable[list[T]]]]],
    id_of: Callable[[T], str],
) -> Page[T]:
    """One page over ``shelves``: (pool id, read(after, count)) in order of pool id. ``limit`` 0 means everything."""
    if limit < 0:
        raise errors.InvalidArgument(f"max_entries is {limit}; it may not be negative")
    after = position(query, given)
    entries: list[T] = []
    for pool_id, read in shelves:
        if after and after.split(".", 1)[0] > pool_id:
            continue
        start = after if after.startswith(pool_id) else ""
        entries += await read(start, limit - len(entries) + 1 if limit else 0)
        if limit and len(entries) > limit:
            kept = entries[:limit]
            return Page(kept, token(query, id_of(kept[-1])))
    return Page(entries)


def _check(query: str, last_id: str) -> str:
    return hashlib.blake2b(f"{query}\0{last_id}".encode("utf-8", "surrogatepass"), digest_size=_CHECK).hexdigest()
