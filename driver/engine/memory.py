"""What a node's state directory remembers of its pools between two starts."""

import json
from pathlib import Path

import msgspec

from ..host import files
from ..model import errors
from ..model.pool import PoolConfig


class Memory(msgspec.Struct):
    """Ids of the pools seen, by name; and the pools adopted by command."""

    seen: dict[str, str] = {}
    adopted: list[PoolConfig] = []

    @classmethod
    def read(cls, path: str) -> "Memory":
        """What was written there last; nothing when nothing was. DataDamaged."""
        try:
            return msgspec.json.decode(Path(path).read_bytes(), type=cls)
        except FileNotFoundError:
            return cls()
        except msgspec.MsgspecError as error:
            raise errors.DataDamaged(f"{path} cannot be read: {error}; move it away to start anew") from error

    def write(self, path: str) -> None:
        """Durable, all or nothing. HostFailed, NoSpace."""
        files.write_durably(path, json.dumps(msgspec.to_builtins(self), indent=1, sort_keys=True).encode())
