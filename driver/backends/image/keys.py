"""What a StorageClass or VolumeAttributesClass may ask of an image volume: ``provisioning`` and ``wipe``. Pure."""

from collections.abc import Mapping

import msgspec

from ...host import filesystem
from ...model import sizes
from ...model.errors import InvalidArgument
from ...model.volume import Kind
from .. import settings
from ..base import Shape
from .configuration import PROVISIONING

PROVISION, WIPE = "provisioning", "wipe"
DEFAULT_FS_TYPE = "ext4"
BESIDE = "its filesystem may write zeros beside the old data (shared extents); wipe=discard gives the blocks back"
KEPT = "the device below takes no discards, so the old data would stay on it"


class Facts(msgspec.Struct, frozen=True):
    """What the pool's filesystem can do, found out when it is opened. A pool that was never opened refuses nothing yet:
    it cannot make a volume either."""

    fs_type: str = ""
    shares_extents: bool = False
    discards: bool = True
    overwrites: bool = True

    @property
    def largest_file(self) -> int:
        """Bytes; ext4 with 4096-byte blocks ends one block short of 16 TiB (ext4(5))."""
        return 16 * sizes.TIB - sizes.BLOCK if self.fs_type == "ext4" else sizes.MAX_SIZE


def known(facts: Facts, provisioning: str) -> dict[str, settings.Setting]:
    """The keys, and what they may be in this pool; ``provisioning`` is the pool's default."""
    refused = {}
    if not facts.overwrites:
        refused["zero"] = BESIDE
    if not facts.discards:
        refused["discard"] = KEPT
    return {
        PROVISION: settings.Setting(provisioning, PROVISIONING),
        WIPE: settings.Setting("none", ("none", "discard", "zero"), refused),
    }


def shape(
    keys: Mapping[str, settings.Setting],
    facts: Facts,
    *,
    kind: Kind,
    fs_type: str,
    given: Mapping[str, str],
    what: str,
) -> Shape:
    """The complete form of a request. InvalidArgument naming what is not known and what is."""
    attributes = settings.complete(keys, given, what)
    if kind == "block":
        return Shape(kind, "", attributes, minimum=sizes.BLOCK, maximum=facts.largest_file)
    chosen = fs_type or DEFAULT_FS_TYPE
    if chosen not in filesystem.TYPES:
        raise InvalidArgument(f"{what} makes no filesystem {chosen!r}; it makes {', '.join(filesystem.TYPES)}")
    least = sizes.round_up(filesystem.minimum_size(chosen))
    return Shape(kind, chosen, attributes, minimum=least, maximum=facts.largest_file)
