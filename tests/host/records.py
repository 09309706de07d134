"""Records as the engine hands them to a backend, and a progress that remembers what it was told."""

from collections.abc import Callable

from driver.model import ids
from driver.model.snapshot import Snapshot
from driver.model.volume import Volume

POOL = "p0123456789ab"
MIB = 1 << 20


def volume(name: str, size: int = 64 * MIB, *, formatted: bool = False, **attributes: str) -> Volume:
    return Volume(
        id=ids.derive(POOL, ids.VOLUME, name),
        pool_id=POOL,
        name=name,
        kind="filesystem",
        size=size,
        attributes=attributes,
        formatted=formatted,
    )


def snapshot(name: str, source: Volume) -> Snapshot:
    return Snapshot(
        id=ids.derive(POOL, ids.SNAPSHOT, name),
        pool_id=POOL,
        name=name,
        source_id=source.id,
        size=source.size,
        kind="filesystem",
        attributes=source.attributes,
    )


class Told:
    """Progress that stops after ``most`` questions, if that is not None; ``done`` is what was reported last."""

    def __init__(self, most: int | None = None, on_report: Callable[[int], None] | None = None) -> None:
        self.most = most
        self.done = 0
        self.reports: list[int] = []
        self._on_report = on_report

    def report(self, done: int, total: int) -> None:
        assert 0 <= done <= total
        self.done = done
        self.reports.append(done)
        if self._on_report:
            self._on_report(done)

    def stopped(self) -> bool:
        if self.most is None:
            return False
        self.most -= 1
        return self.most < 0
