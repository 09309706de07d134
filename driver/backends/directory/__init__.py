"""Volumes that are subdirectories."""

from .backend import DirectoryBackend

__all__ = ["DirectoryBackend"]
