"""Records as the bytes a ledger stores, and what changes to them do to the sums."""

from collections import Counter

import msgspec

from ..model.errors import DataDamaged, InvalidArgument
from ..model.records import KINDS, TYPES, Index, Record, RecordKind, index_of
from .ledger import Change, Drop, Put, Totals

GROWING: tuple[RecordKind, ...] = ("volume", "snapshot", "group")
"""A new record of these kinds promises something; the others only note what is so."""
LARGEST = (1 << 63) - 1

Key = tuple[RecordKind, str]

_encoder = msgspec.json.Encoder()
_decoders = {kind: msgspec.json.Decoder(cls) for kind, cls in TYPES.items()}


class Row(msgspec.Struct, frozen=True):
    """A Put, ready to be stored: the record with its index columns and its JSON."""

    kind: RecordKind
    id: str
    index: Index
    record: Record
    body: bytes


def prepared(change: Change) -> Row | Drop:
    """``change`` as it is stored. InvalidArgument when the record cannot be written down."""
    if not isinstance(change, Put):
        return change
    record = change.record
    index = index_of(record)
    try:
        body = _encoder.encode(record)
    except (UnicodeError, ValueError, TypeError) as error:
        raise InvalidArgument(f"record {record.id!r} cannot be written down: {error}") from error
    if not 0 <= index.reserved <= LARGEST:
        raise InvalidArgument(f"record {record.id!r} reserves {index.reserved} bytes")
    return Row(KINDS[type(record)], record.id, index, record, body)


def decode(kind: RecordKind, body: bytes, where: str) -> Record:
    """The record in ``body``. DataDamaged naming ``where`` when there is none."""
    try:
        return _decoders[kind].decode(body)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise DataDamaged(f"{where} does not hold a {kind} record: {error}") from error


class Tally:
    """Records by kind and reserved bytes: of a whole ledger, or what one commit adds (then also negative)."""

    def __init__(self, counts: dict[RecordKind, int] | None = None, reserved: int = 0) -> None:
        self.counts: Counter[RecordKind] = Counter(counts or {})
        self.reserved = reserved

    def note(self, kind: RecordKind, old: int | None, new: int | None) -> None:
        """A record that reserved ``old`` bytes now reserves ``new``; None where there is no record."""
        self.counts[kind] += (new is not None) - (old is not None)
        self.reserved += (new or 0) - (old or 0)

    def add(self, other: "Tally") -> None:
        for kind, count in other.counts.items():
            self.counts[kind] += count
        self.reserved += other.reserved

    @property
    def grows(self) -> bool:
        """Whether more is promised than before: such a commit is refused once a store is full."""
        return self.reserved > 0 or any(self.counts[kind] > 0 for kind in GROWING)

    def totals(self) -> Totals:
        return Totals(self.reserved, self.counts["volume"], self.counts["snapshot"])
