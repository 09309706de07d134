"""Telling the device below what is free."""

from .effect import effect


@effect
def fitrim(mount: str) -> int:
    """Discard all free blocks of the filesystem at ``mount``; the bytes discarded. Done when it returns (FITRIM).

    Raises HostFailed (EOPNOTSUPP when the device below takes no discard).
    """
    raise NotImplementedError


def discard_supported(path: str) -> bool:
    """Whether the block device below ``path`` (or ``path`` itself, a device) takes discards; False if there is none."""
    raise NotImplementedError


@effect
def discard_device(device: str) -> None:
    """Discard all blocks of a device (BLKDISCARD), which the caller owns. Raises HostFailed (EOPNOTSUPP)."""
    raise NotImplementedError
