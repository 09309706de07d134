"""What arguments and options of commands look like: sizes, pairs, and names that the shell can complete."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from ..model import errors, ids, sizes


class Size(click.ParamType[int]):
    """``10GiB``, ``500M`` or ``4096``, in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return sizes.parse(value)
        except errors.InvalidArgument as error:
            self.fail(error.message, param, ctx)


class Pair(click.ParamType[tuple[str, str]]):
    """``KEY=VALUE``."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, separator, rest = value.partition("=")
        if not key or not separator:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, rest


class Named(click.ParamType[str]):
    """A volume, snapshot or group snapshot, by name or by (the beginning of) its id."""

    def __init__(self, letter: str) -> None:
        self._letter = letter
        self.name = {ids.VOLUME: "volume", ids.SNAPSHOT: "snapshot", ids.GROUP: "group"}[letter]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """What the driver has, if it answers at once; a shell must not wait for it nor show its troubles."""
        from .completion import known

        endpoint = str(ctx.params.get("endpoint") or "")
        found = known(self._letter, endpoint)
        return [CompletionItem(one) for one in found if one.startswith(incomplete)]


SIZE, PAIR = Size(), Pair()
VOLUME, SNAPSHOT, GROUP = Named(ids.VOLUME), Named(ids.SNAPSHOT), Named(ids.GROUP)
