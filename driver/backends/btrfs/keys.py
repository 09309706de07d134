"""What a StorageClass or VolumeAttributesClass may ask of a subvolume: ``compression`` and ``wipe``. Pure."""

from .. import settings
from . import compression

BESIDE = "btrfs writes zeros beside the old data; wipe=discard gives the blocks back"
KEPT = "the device below takes no discards, so the old data would stay on it"
LEVEL = "btrfs keeps no level per file (only the mount option compress= has one); use zstd"


def known(discards: bool) -> dict[str, settings.Setting]:
    """The keys, and what they may be in a pool whose devices take discards or not.

    ``compression`` has no default: then a volume has that of the filesystem's mount options, or of its source.
    """
    refused = {"zero": BESIDE}
    if not discards:
        refused["discard"] = KEPT
    levels = {f"{algorithm}:{level}": LEVEL for algorithm in ("zstd", "zlib") for level in range(-15, 16)}
    return {
        compression.KEY: settings.Setting(None, compression.ALGORITHMS, levels),
        "wipe": settings.Setting("none", ("none", "discard"), refused),
    }
