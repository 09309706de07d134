"""Sizes in bytes: parsing, rounding, and CSI's capacity ranges."""

import re

import msgspec

from . import errors

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB
BLOCK = 4096
"""Every volume size is a multiple of this (docs/design.md section 7: loop devices keep 4096-byte sectors for life)."""
MAX_SIZE = 1 << 62
"""Beyond any filesystem's reach; requests above it are OUT_OF_RANGE before any arithmetic."""

_UNITS = {
    "": 1, "b": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4,
    "ki": KIB, "mi": MIB, "gi": GIB, "ti": TIB, "kib": KIB, "mib": MIB, "gib": GIB, "tib": TIB,
    "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4,
}  # fmt: skip
_SIZE = re.compile(r"(\d{1,19})(?:\.(\d{1,6}))?\s*([a-zA-Z]{0,3})")


def parse(text: str) -> int:
    """Bytes meant by ``10GiB``, ``10Gi``, ``500M`` or ``4096``. InvalidArgument when it is none of these."""
    match = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(match[3].lower()) if match else None
    if match is None or unit is None:
        raise errors.InvalidArgument(f"{text!r} is not a size; wanted a number and a unit such as 10GiB or 500M")
    whole = int(match[1]) * unit
    return whole + (int(int(match[2]) * unit / 10 ** len(match[2])) if match[2] else 0)


def show(size: int) -> str:
    """``size`` for people: ``10 GiB``, ``1.5 MiB``, ``512 B``."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            return f"{value:.4g} {unit}" if value % 1 else f"{int(value)} {unit}"
        value /= 1024
    raise AssertionError("unreachable: the last unit always returns")


def round_up(size: int, multiple: int = BLOCK) -> int:
    """The smallest multiple of ``multiple`` that is not below ``size``."""
    return -(-size // multiple) * multiple


def round_down(size: int, multiple: int = BLOCK) -> int:
    """The largest multiple of ``multiple`` that is not above ``size``."""
    return size // multiple * multiple


class SizeRange(msgspec.Struct, frozen=True):
    """CSI CapacityRange in bytes; 0 means unset."""

    required: int = 0
    limit: int = 0

    def checked(self, what: str) -> "SizeRange":
        """Itself. InvalidArgument when negative or when the limit lies below the requirement; OutOfRange when absurd."""
        if self.required < 0 or self.limit < 0:
            raise errors.InvalidArgument(
                f"capacity_range of {what} has required_bytes {self.required} and limit_bytes {self.limit}; "
                "neither may be negative"
            )
        if self.limit and self.limit < self.required:
            raise errors.InvalidArgument(
                f"capacity_range of {what}: limit_bytes {self.limit} is below required_bytes {self.required}"
            )
        if self.required > MAX_SIZE:
            raise errors.OutOfRange(f"capacity_range of {what}: {self.required} bytes is above the largest volume")
        return self

    def holds(self, size: int) -> bool:
        """Whether a volume of ``size`` bytes satisfies this range."""
        return size >= self.required and (not self.limit or size <= self.limit)

    def choose(self, *, default: int, minimum: int, what: str) -> int:
        """The size to make: the requirement (or ``default``), at least ``minimum``, in whole blocks.

        OutOfRange when no whole number of blocks at or above ``minimum`` fits under the limit.
        """
        wanted = self.required or (min(default, self.limit) if self.limit else default)
        size = round_up(max(wanted, minimum))
        if not self.required and self.limit and size > self.limit:
            size = round_down(self.limit)
        if (self.limit and size > self.limit) or size < minimum:
            raise errors.OutOfRange(
                f"capacity_range of {what} allows {self.required} to {self.limit} bytes; the smallest volume possible "
                f"here that satisfies it has {round_up(max(self.required, minimum))} bytes (multiples of {BLOCK})"
            )
        return size
