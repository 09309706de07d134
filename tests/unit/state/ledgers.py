"""Both ledgers, and records to put into them."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from driver.host import effect
from driver.model import ids
from driver.model.capability import Capability
from driver.model.records import Grant, Record, RecordKind, Trash
from driver.model.snapshot import Snapshot
from driver.model.volume import Source, Volume
from driver.state.json_records import RecordLedger
from driver.state.ledger import Ledger, Put
from driver.state.sqlite import SqliteLedger

POOL = "p0123456789ab"
GIB = 1 << 30
MEMORY = "/dev/shm"
PLENTY = GIB

Make = Callable[..., Ledger]
KINDS: dict[str, Make] = {"sqlite": SqliteLedger, "records": RecordLedger}
SYNC = {"sqlite": "sqlite_file.commit_durably", "records": "files.overwrite"}
"""The effect with which a commit becomes durable."""


def volume(called: object, reserved: int = GIB, **more: Any) -> Volume:
    plain = Volume(
        id=ids.derive(POOL, ids.VOLUME, str(called)),
        pool_id=POOL,
        name=str(called),
        kind="filesystem",
        size=GIB,
        reserved=reserved,
    )
    return msgspec.structs.replace(plain, **more)


def named(record_id: str, reserved: int = 0) -> Volume:
    """A volume with an id of our choice."""
    return volume("any", reserved, id=record_id)


def snapshot(name: object, source: Volume, group: str = "", reserved: int = 0) -> Snapshot:
    return Snapshot(
        id=ids.derive(POOL, ids.SNAPSHOT, str(name)),
        pool_id=POOL,
        name=str(name),
        source_id=source.id,
        size=source.size,
        kind="filesystem",
        group_id=group,
        reserved=reserved,
    )


def clone(name: object, source: Volume) -> Volume:
    return volume(name, source=Source("volume", source.id))


def grant(source: Volume, node: str) -> Grant:
    return Grant(id=f"{source.id}@{node}", volume_id=source.id, node_id=node, capability=Capability("mount"))


def trash(source: Volume) -> Trash:
    return Trash(id=f"{source.id}.1", volume=source, reserved=source.reserved)


def quick_place() -> str | None:
    """A directory in memory, if there is plenty; else None, for the usual place."""
    return MEMORY if os.path.isdir(MEMORY) and shutil.disk_usage(MEMORY).free > PLENTY else None


@contextlib.contextmanager
def opened(make: Make, home: Path, **options: Any) -> Iterator[Ledger]:
    ledger = make(str(home), **options)
    ledger.open()
    try:
        yield ledger
    finally:
        ledger.close()


@contextlib.contextmanager
def observed(observer: effect.Observer) -> Iterator[None]:
    effect.install(observer)
    try:
        yield
    finally:
        effect.uninstall()


def put(ledger: Ledger, *records: Record) -> None:
    """In one commit, finished."""
    ledger.commit([Put(record) for record in records]).result()


def settled(ledger: Ledger) -> None:
    """What was committed so far is in its files too."""
    ledger.commit([]).result()


def files_of(home: Path, kind: str = "volume") -> list[Path]:
    """Where a ledger of files keeps the records of a kind."""
    return sorted(home.glob(f"records/{kind}/?/*"))


def everything(ledger: Ledger) -> dict[tuple[RecordKind, str], Record]:
    """All records by kind and id."""
    kinds: tuple[RecordKind, ...] = ("volume", "snapshot", "group", "grant", "trash", "task")
    return {(kind, record.id): record for kind in kinds for record in ledger.page(kind)}


class Copies:
    """Copies ``home`` before and after every effect: each copy is what a process killed there would leave."""

    def __init__(self, home: Path, into: Path, but: str = "") -> None:
        """``but``: an effect that is of no interest."""
        self._home = home
        self._into = into
        self._but = but
        self.taken: list[tuple[str, Path]] = []

    def before(self, name: str, args: tuple[object, ...]) -> None:
        self._take("before", name)

    def after(self, name: str, args: tuple[object, ...]) -> None:
        self._take("after", name)

    def _take(self, moment: str, name: str) -> None:
        if name == self._but:
            return
        copy = self._into / str(len(self.taken))
        copied(self._home, copy)
        self.taken.append((f"{moment} {name}", copy))


def copied(home: Path, target: Path) -> None:
    """The files as they are now, without the ballast's bytes."""
    if home.exists():
        shutil.copytree(home, target, ignore=shutil.ignore_patterns("ballast"), copy_function=_copy)


def _copy(source: str, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(source, target)
        os.chmod(target, 0o600)
