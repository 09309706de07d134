"""``holdall demo``: the driver's main job, done for real in front of a person, with every claim checked."""

from .command import demo

__all__ = ["demo"]
