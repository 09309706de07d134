"""What the state directory remembers of a pool: where it was.

Without it, a disk that is not mounted looks like a new, empty pool at its mount point, and an image whose directory is
not mounted like one still to be made: volumes would be made on the wrong filesystem.
"""

from pathlib import Path

import msgspec

from ..host import files
from ..host.failure import during


class _Places(msgspec.Struct, frozen=True):
    path: str = ""
    image: str = ""


class Memory:
    """The places of one pool, kept in its private directory in the state directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.file = root / "pool.json"
        """To be removed by a person who wants the pool forgotten; named in refusals."""

    @property
    def path(self) -> str:
        """The directory that held the pool when it was last opened; empty when there was none."""
        return self._read().path

    @property
    def image(self) -> str:
        """The image file that was made for the pool; empty when there was none."""
        return self._read().image

    def remember_path(self, path: str) -> None:
        """Durable when it returns. Raises NoSpace, HostFailed."""
        self._write(msgspec.structs.replace(self._read(), path=path))

    def remember_image(self, image: str) -> None:
        """Durable when it returns. Raises NoSpace, HostFailed."""
        self._write(msgspec.structs.replace(self._read(), image=image))

    def _read(self) -> _Places:
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=_Places)
        except (FileNotFoundError, msgspec.MsgspecError):
            return _Places()

    def _write(self, places: _Places) -> None:
        if places == self._read():
            return
        with during(f"making {self._root}"):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write_durably(str(self.file), msgspec.json.encode(places))
