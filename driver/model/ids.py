"""Ids are derived, never drawn: the same name in the same pool always gives the same id, so a retry finds its first try.

``<pool id>.<letter>-<readable>-<hash>``, at most 128 bytes of ``[a-z0-9.-]``. The letter tells volumes, snapshots and
groups apart; the hash is over the whole name, so two names never share an id. Every id is safe as a file name.
"""

import hashlib
import re
import secrets

from . import errors

POOL = re.compile(r"p[0-9a-f]{12}")
_ID = re.compile(r"(p[0-9a-f]{12})\.((v|s|g)-(?:[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?-)?[0-9a-f]{24})")
_UNREADABLE = re.compile(r"[^a-z0-9]+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
MAX_NAME = 128

VOLUME, SNAPSHOT, GROUP = "v", "s", "g"


def new_pool_id() -> str:
    """A pool's id from birth: unique, stored in the pool."""
    return f"p{secrets.token_hex(6)}"


def checked_name(name: str, what: str) -> str:
    """``name`` as CSI allows it (any Unicode but control characters, 1 to 128 bytes). InvalidArgument otherwise."""
    if not name:
        raise errors.InvalidArgument(f"{what} has no name; a name is required")
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > MAX_NAME:
        raise errors.InvalidArgument(f"name of {what} has {size} bytes; at most {MAX_NAME} are allowed")
    if _CONTROL.search(name):
        raise errors.InvalidArgument(f"name of {what} {name!r} contains control characters")
    return name


def local_part(letter: str, name: str) -> str:
    """The part of an id after the pool: the same in every pool, so one lock covers a name everywhere."""
    digest = hashlib.sha256(f"{letter}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
    readable = _UNREADABLE.sub("-", name.lower())[:48].strip("-")
    return f"{letter}-{readable}-{digest}" if readable else f"{letter}-{digest}"


def derive(pool_id: str, letter: str, name: str) -> str:
    """The id that ``name`` has in pool ``pool_id``."""
    return f"{pool_id}.{local_part(letter, name)}"


def split(object_id: str) -> tuple[str, str] | None:
    """``(pool id, local part)`` of an id of ours, or None when it cannot be one."""
    match = _ID.fullmatch(object_id)
    return (match[1], match[2]) if match else None


def lock_key(object_id: str) -> str:
    """What operations on ``object_id`` exclude each other by: its local part, or itself when it is foreign."""
    parts = split(object_id)
    return parts[1] if parts else object_id


def is_kind(object_id: str, letter: str) -> bool:
    """Whether ``object_id`` is well-formed and of the kind ``letter``."""
    match = _ID.fullmatch(object_id)
    return match is not None and match[3] == letter
