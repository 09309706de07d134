"""The last batch of commits, written down whole before any of its files is touched."""

import contextlib
import hashlib

import msgspec

from ..host import files
from ..host.failure import during
from ..model import sizes
from ..model.errors import HostFailed, NoSpace
from ..model.records import RecordKind

ROOM = 256 * sizes.KIB
"""Bytes taken from birth: a batch of deletes fits, also when nothing is free."""
MAGIC = b"holdall1"
DIGEST = 32
HEAD = len(MAGIC) + 8 + DIGEST


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One change: the record's JSON, or ``null`` where it is dropped."""

    kind: RecordKind
    id: str
    body: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def dropped(self) -> bool:
        return bytes(self.body) == b"null"


class Batch(msgspec.Struct, frozen=True):
    """What several commits have changed together, written by schema ``schema``."""

    schema: int
    entries: list[Entry] = []
    settings: dict[str, str] = {}


class Journal:
    """A file overwritten in place: head (magic, length, SHA-256), then the batch as JSON. Torn, it holds nothing.

    A batch is here until the next one is written, which happens only once its files are durable.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def create(self) -> None:
        """An empty one, durable under its name. Raises NoSpace, HostFailed."""
        files.write_durably(self.path, bytes(ROOM))

    def write(self, batch: Batch) -> None:
        """``batch`` is durable as a whole: from here on it has happened. Raises NoSpace, HostFailed: it has not."""
        payload = msgspec.json.encode(batch)
        head = MAGIC + len(payload).to_bytes(8, "big") + hashlib.sha256(payload).digest()
        try:
            files.overwrite(self.path, head + payload)
        except (NoSpace, HostFailed):
            # It may be on the disk nevertheless, and must not come to life after a crash.
            with contextlib.suppress(NoSpace, HostFailed):
                self.clear()
            raise

    def clear(self) -> None:
        """Nothing is to be done again. Raises NoSpace, HostFailed."""
        files.overwrite(self.path, bytes(HEAD))

    def read(self) -> Batch | None:
        """The last batch; None when its writing was cut short, or it was cleared. Raises HostFailed."""
        with during(f"reading {self.path}"), open(self.path, "rb") as file:
            data = file.read()
        length = int.from_bytes(data[len(MAGIC) : len(MAGIC) + 8], "big")
        payload = data[HEAD : HEAD + length]
        if data[: len(MAGIC)] != MAGIC or hashlib.sha256(payload).digest() != data[HEAD - DIGEST : HEAD]:
            return None
        return msgspec.json.decode(payload, type=Batch)
