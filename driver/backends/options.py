"""A backend's own keys in its ``[[pool]]`` table, read strictly: a misspelt key must never be silently ignored."""

from collections.abc import Sequence

from ..model import sizes
from ..model.errors import InvalidArgument
from ..model.pool import PoolConfig


def check_known(config: PoolConfig, known: Sequence[str]) -> None:
    """InvalidArgument naming the first key in ``config.options`` that is none of ``known``."""
    for key in config.options:
        if key not in known:
            raise InvalidArgument(
                f"pool {config.name}: backend {config.backend} has no key {key!r}; known are {', '.join(sorted(known))}"
            )


def choice(config: PoolConfig, key: str, allowed: Sequence[str], default: str) -> str:
    """One of ``allowed``, or ``default`` when the key is absent. InvalidArgument naming key, value and what is allowed."""
    value = config.options.get(key, default)
    if value not in allowed:
        raise InvalidArgument(f"pool {config.name}: {key!r} = {value!r} is none of {', '.join(allowed)}")
    return str(value)


def size(config: PoolConfig, key: str, default: int = 0) -> int:
    """A number of bytes, written as a number or as text such as ``"10GiB"``. InvalidArgument naming the key."""
    value = config.options.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str):
        raise InvalidArgument(f"pool {config.name}: {key!r} = {value!r} is not a size such as 10GiB")
    try:
        return sizes.parse(value)
    except InvalidArgument as error:
        raise InvalidArgument(f"pool {config.name}: {key!r}: {error.message}") from None


def path(config: PoolConfig, key: str) -> str:
    """An absolute path, or an empty string when the key is absent. InvalidArgument naming the key."""
    value = config.options.get(key, "")
    if not isinstance(value, str) or (value and not value.startswith("/")) or "\0" in value:
        raise InvalidArgument(f"pool {config.name}: {key!r} = {value!r} is not an absolute path")
    return value
