"""What tests put in the way of effects."""

import errno
import os

from driver.host.failure import from_os


class Recorder:
    """Remembers the effects that succeeded, in order, each with its first argument."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []

    def before(self, name: str, args: tuple[object, ...]) -> None:
        """See driver.host.effect."""

    def after(self, name: str, args: tuple[object, ...]) -> None:
        """See driver.host.effect."""
        self.seen.append((name, args[0]))

    @property
    def names(self) -> list[str]:
        """The effects alone."""
        return [name for name, _ in self.seen]


class Death(BaseException):
    """Our process dies here."""


class Killer:
    """Dies right after the first effect of that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def before(self, name: str, args: tuple[object, ...]) -> None:
        """See driver.host.effect."""

    def after(self, name: str, args: tuple[object, ...]) -> None:
        """See driver.host.effect."""
        if name == self.name:
            raise Death


class Breaker:
    """Lets every effect of that name fail with an errno instead of happening."""

    def __init__(self, name: str, code: int = errno.EIO) -> None:
        self.name = name
        self.code = code

    def before(self, name: str, args: tuple[object, ...]) -> None:
        """See driver.host.effect."""
        if name == self.name:
            raise from_os(name, OSError(self.code, os.strerror(self.code)))

    def after(self, name: str, args: tuple[object, ...]) -> None:
        """See driver.host.effect."""
