"""Volumes as files: one sparse image per volume or snapshot on any filesystem, attached as loop devices."""

from .backend import ImageBackend

__all__ = ["ImageBackend"]
