"""What has happened and may not be in its files yet, written down whole before they are touched."""

import contextlib
import hashlib

import msgspec

from ..host import files
from ..host.failure import during
from ..model import sizes
from ..model.errors import HostFailed, NoSpace
from ..model.records import RecordKind

ROOM = 256 * sizes.KIB
"""Bytes each half takes from birth: some hundred deletes fit, also when nothing is free."""
MAGIC = b"holdall1"
DIGEST = 32
HEAD = len(MAGIC) + 8 + DIGEST
NOTHING = msgspec.Raw(b"null")


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One change: the record's JSON in the schema ``schema``, or ``null`` where it is dropped."""

    kind: RecordKind
    id: str
    schema: int
    body: msgspec.Raw = NOTHING

    @property
    def dropped(self) -> bool:
        return self.body == NOTHING


class Batch(msgspec.Struct, frozen=True):
    """Changes, each of them the last of its record; of two batches the one with the higher ``number`` counts."""

    number: int = 0
    entries: list[Entry] = []
    settings: dict[str, str] = {}


class Journal:
    """Two files, overwritten in place by turns: head (magic, length, SHA-256), then a batch as JSON.

    A torn one holds nothing, and then the other still holds the batch before.
    """

    def __init__(self, path: str) -> None:
        self.paths = (f"{path}-0", f"{path}-1")
        self._number = 0

    def create(self) -> None:
        """An empty one, durable under its names. Raises NoSpace, HostFailed."""
        for path in self.paths:
            files.write_durably(path, bytes(ROOM))

    def write(self, entries: list[Entry], settings: dict[str, str]) -> None:
        """From here on all of it has happened, and only it is remembered. Raises NoSpace, HostFailed: it has not."""
        number = self._number + 1
        path = self.paths[number % 2]
        payload = msgspec.json.encode(Batch(number, entries, settings))
        head = MAGIC + len(payload).to_bytes(8, "big") + hashlib.sha256(payload).digest()
        try:
            files.overwrite(path, head + payload)
        except (NoSpace, HostFailed):
            # It may be on the disk nevertheless, and must not come to life after a crash.
            with contextlib.suppress(NoSpace, HostFailed):
                files.overwrite(path, bytes(HEAD))
            raise
        self._number = number

    def clear(self) -> None:
        """Nothing is to be done again, and what a huge batch took is given back. Raises NoSpace, HostFailed."""
        self.write([], {})
        for path in self.paths:
            files.truncate(path, ROOM)

    def read(self) -> Batch:
        """The last batch that was written whole. Raises HostFailed."""
        last = max((self._read(path) for path in self.paths), key=lambda batch: batch.number)
        self._number = last.number
        return last

    def _read(self, path: str) -> Batch:
        with during(f"reading {path}"), open(path, "rb") as file:
            data = file.read()
        length = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 8], "big")
        payload = data[HEAD : HEAD + length]
        if data[: len(MAGIC)] != MAGIC or hashlib.sha256(payload).digest() != data[HEAD - DIGEST : HEAD]:
            return Batch()
        return msgspec.json.decode(payload, type=Batch)
