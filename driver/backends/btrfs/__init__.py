"""Volumes that are subvolumes of btrfs."""

from .backend import BtrfsBackend

__all__ = ["BtrfsBackend"]
