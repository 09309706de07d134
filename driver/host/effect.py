"""Calls that change the world, observable: tests die after any of them, make any of them fail, or record their order."""

import functools
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Observer(Protocol):
    """Is told of every effect in the calling thread. What it raises passes through the effect to its caller."""

    def before(self, name: str, args: tuple[object, ...]) -> None:
        """Called first; raising keeps the effect from happening: an error of the domain imitates the host's refusal."""

    def after(self, name: str, args: tuple[object, ...]) -> None:
        """Called once the effect has succeeded; raising a BaseException imitates a crash right after it."""


_observer: Observer | None = None


def install(observer: Observer) -> None:
    """Make ``observer`` see the effects of all threads from now on, in place of any other."""
    global _observer
    _observer = observer


def uninstall() -> None:
    """Observe effects no longer."""
    global _observer
    _observer = None


def effect(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function that changes the world or forces it to disk.

    The observer knows it as ``module.function`` and sees positional arguments, then the values of keyword arguments.
    """
    name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"

    @functools.wraps(function)
    def observed(*args: P.args, **kwargs: P.kwargs) -> R:
        observer = _observer
        if observer is None:
            return function(*args, **kwargs)
        seen: tuple[object, ...] = (*args, *kwargs.values())
        observer.before(name, seen)
        result = function(*args, **kwargs)
        observer.after(name, seen)
        return result

    return observed
