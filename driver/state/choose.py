"""Which kind of ledger a pool has: the one that is there; else the one its filesystem can carry."""

import os
from collections.abc import Mapping

from ..host import files, fsprobe
from ..model.errors import FailedPrecondition
from .json_records import RecordLedger
from .ledger import Ledger
from .sqlite import SqliteLedger


def open_ledger(home: str, defaults: Mapping[str, str] | None = None) -> Ledger:
    """The open ledger of the pool whose directory is ``home``, made there with ``defaults`` if there is none.

    SQLite on a local filesystem, a file per record on a network or FUSE one. A pool that moved from a network
    filesystem to a local one keeps its files. Raises FailedPrecondition when there are two ledgers, or a SQLite one on
    a filesystem that cannot carry it; and what Ledger.open raises.
    """
    sqlite, records = SqliteLedger(home, defaults), RecordLedger(home, defaults)
    kind = fsprobe.statfs_type(home if files.exists(home) else os.path.dirname(os.path.abspath(home)))
    if sqlite.exists() and records.exists():
        raise FailedPrecondition(
            f"{home} has two ledgers, ledger.db and records/; move away the one that is not this pool's"
        )
    if sqlite.exists() and kind.is_network:
        raise FailedPrecondition(
            f"{home} has a SQLite ledger, which is not safe on {kind.name}: mount the pool where it was, "
            "or copy its volumes into a new pool"
        )
    ledger: Ledger = records if records.exists() or kind.is_network else sqlite
    ledger.open()
    return ledger
