"""Settings of a volume that may change during its life, read strictly from what a request says."""

from collections.abc import Mapping

import msgspec

from ..model.errors import InvalidArgument


class Setting(msgspec.Struct, frozen=True):
    """One key: its value unless asked for (None: it is then not set at all), what it may be, and what it may not and why."""

    default: str | None
    allowed: tuple[str, ...]
    refused: Mapping[str, str] = {}


def complete(known: Mapping[str, Setting], given: Mapping[str, str], what: str) -> dict[str, str]:
    """All settings of a new volume: ``given`` over the defaults. InvalidArgument naming key, value and what is allowed."""
    defaults = {key: setting.default for key, setting in known.items() if setting.default is not None}
    return defaults | changed(known, given, what)


def changed(known: Mapping[str, Setting], given: Mapping[str, str], what: str) -> dict[str, str]:
    """``given``, checked. InvalidArgument naming key, value and what is allowed."""
    for key, value in given.items():
        setting = known.get(key)
        if setting is None:
            raise InvalidArgument(f"{what} knows no parameter {key!r}; known are {', '.join(sorted(known)) or 'none'}")
        if reason := setting.refused.get(value):
            raise InvalidArgument(f"{what} refuses {key} = {value!r}: {reason}")
        if value not in setting.allowed:
            raise InvalidArgument(f"{what}: {key} = {value!r} is none of {', '.join(setting.allowed)}")
    return dict(given)
