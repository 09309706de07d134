"""Mount options as people write them (mount(8)), sorted for the kernel."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from ..model.errors import InvalidArgument

# MOUNT_ATTR_* of mount_setattr(2)
RDONLY = 0x1
NOSUID = 0x2
NODEV = 0x4
NOEXEC = 0x8
NOATIME = 0x10
STRICTATIME = 0x20
ATIME = 0x70
NODIRATIME = 0x80
NOSYMFOLLOW = 0x200000

# word: (bits it clears, bits it sets)
ATTRIBUTES = {
    "defaults": (0, 0),
    "ro": (0, RDONLY),
    "rw": (RDONLY, 0),
    "nosuid": (0, NOSUID),
    "suid": (NOSUID, 0),
    "nodev": (0, NODEV),
    "dev": (NODEV, 0),
    "noexec": (0, NOEXEC),
    "exec": (NOEXEC, 0),
    "noatime": (ATIME, NOATIME),
    "atime": (ATIME, 0),
    "relatime": (ATIME, 0),
    "norelatime": (0, 0),
    "strictatime": (ATIME, STRICTATIME),
    "nostrictatime": (ATIME, 0),
    "nodiratime": (0, NODIRATIME),
    "diratime": (NODIRATIME, 0),
    "nosymfollow": (0, NOSYMFOLLOW),
    "symfollow": (NOSYMFOLLOW, 0),
}

# For mount(8) and fstab(5) alone, and without meaning here; people copy them over.
IDLE = frozenset({"auto", "noauto", "nofail", "_netdev"})

# Each of these would make something other than one mount of this volume at this place.
OTHER_ACTS = frozenset(
    {
        *("bind", "rbind", "move", "remount", "loop", "user", "nouser", "users", "owner", "group"),
        *("shared", "rshared", "private", "rprivate", "slave", "rslave", "unbindable", "runbindable"),
        *("source", "offset", "sizelimit", "device"),
    }
)

# What statvfs(3) shows of an attribute (linux/statfs.h).
SHOWN = {
    RDONLY: os.ST_RDONLY,
    NOSUID: os.ST_NOSUID,
    NODEV: os.ST_NODEV,
    NOEXEC: os.ST_NOEXEC,
    NOATIME: os.ST_NOATIME,
    NODIRATIME: os.ST_NODIRATIME,
    NOSYMFOLLOW: 0x2000,
}
SHOWN_MASK = sum(SHOWN.values())
WORDS = {
    "nosuid": NOSUID,
    "nodev": NODEV,
    "noexec": NOEXEC,
    "noatime": NOATIME,
    "nodiratime": NODIRATIME,
    "nosymfollow": NOSYMFOLLOW,
}


class Options(NamedTuple):
    """Mount options, sorted: MOUNT_ATTR_* bits of this mount (mount_setattr(2)), and words for the filesystem."""

    attributes: int
    data: tuple[str, ...]

    @property
    def shown(self) -> int:
        """The ST_* bits, of SHOWN_MASK, that statvfs(3) shows for a mount with these attributes."""
        return sum(bit for attribute, bit in SHOWN.items() if self.attributes & attribute)


def parse_options(options: Sequence[str]) -> Options:
    """Sort mount(8) options; a later word wins over an earlier one. ``a,b`` in one string is two options.

    Raises InvalidArgument for a word that is no property of a mount (bind, remount, loop…).
    """
    attributes = 0
    data: list[str] = []
    for word in (word.strip() for option in options for word in option.split(",")):
        name = word.partition("=")[0]
        if word in ATTRIBUTES:
            clears, sets = ATTRIBUTES[word]
            attributes = attributes & ~clears | sets
        elif name in OTHER_ACTS:
            message = f"{name!r} is not an option of a volume's mount"
            raise InvalidArgument(message)
        elif "\0" in word:
            message = f"the mount option {word!r} holds a zero byte"
            raise InvalidArgument(message)
        elif word and word not in IDLE and not word.startswith(("x-", "X-")):
            data.append(word)
    return Options(attributes, tuple(data))
