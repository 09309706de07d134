"""What people call things: a name, the beginning of an id, or the whole id. Pure."""

from collections.abc import Iterable, Sequence

from ..model import errors, ids

WORDS = {ids.VOLUME: "volume", ids.SNAPSHOT: "snapshot", ids.GROUP: "group snapshot"}


def readable(object_id: str) -> str:
    """The part of an id that says which name it was derived from; the id itself when that has none, or is foreign."""
    parts = ids.split(object_id)
    if parts is None or parts[1].count("-") < 2:
        return object_id
    return parts[1].partition("-")[2].rpartition("-")[0]


def exact(letter: str, name: str, pool_ids: Iterable[str]) -> list[str]:
    """The ids that an object of exactly this name has, or would have, in these pools; none for what is no name."""
    try:
        checked = ids.checked_name(name, WORDS[letter])
    except errors.InvalidArgument:
        return []
    return [ids.derive(pool_id, letter, checked) for pool_id in pool_ids]


def pick(letter: str, text: str, known: Sequence[str]) -> str:
    """The one id among ``known`` that ``text`` means: by name, by what is readable of it, by how the id begins.

    NotFound when it means none, InvalidArgument naming the candidates when it means several.
    """
    local = ids.local_part(letter, text)
    ways = (
        [one for one in known if one == text],
        [one for one in known if ids.lock_key(one) == local],
        [one for one in known if readable(one) == text],
        [one for one in known if one.startswith(text) or ids.lock_key(one).startswith(text)],
        [one for one in known if readable(one).startswith(text)],
    )
    for found in ways:
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(found[:5]) + (" …" if len(found) > 5 else "")
            raise errors.InvalidArgument(f"{text!r} means {len(found)} {WORDS[letter]}s: {shown}; say more of the id")
    raise errors.NotFound(f"there is no {WORDS[letter]} {text!r}")
