"""How large a pool's subvolumes are and may be: by qgroups, by simple quota, or by nobody."""

import time
from collections.abc import Iterator
from typing import Final

from ...host import btrfs, qgroups
from ...model.errors import FailedPrecondition, HostFailed, NotFound
from ...model.health import Ailment, Status
from ..base import Progress

QGROUP: Final = "qgroup"
SIMPLE: Final = "simple"
NONE: Final = "none"
MODES = (QGROUP, SIMPLE, NONE)
PAUSE = 0.2
MOMENT = 2.0
"""Seconds; counting an empty filesystem takes a fraction of one."""


class Quota:
    """The quota of one pool's filesystem, in the mode the configuration asks for. ``pool`` is for messages."""

    def __init__(self, pool: str, mode: str) -> None:
        self._pool = pool
        self._mode = mode

    @property
    def counts(self) -> bool:
        """Whether anybody counts."""
        return self._mode != NONE

    def check(self, path: str) -> None:
        """FailedPrecondition when the filesystem at ``path`` counts in another way than asked for; changes nothing."""
        if not self.counts:
            return
        found = qgroups.status(path)
        if found.enabled and found.simple != (self._mode == SIMPLE):
            raise FailedPrecondition(
                f"pool {self._pool}: found quota of kind {SIMPLE if found.simple else QGROUP} on {path}; wanted "
                f'{self._mode}. Set quota = "{SIMPLE if found.simple else QGROUP}", or turn quota off first '
                "(btrfs quota disable), which forgets all limits"
            )

    def enable(self, path: str) -> None:
        """Somebody counts, unless nobody is to. Data that is there already is counted first, in the background where
        that takes more than a moment. HostFailed (EINVAL where the kernel has no simple quota)."""
        if self.counts:
            qgroups.enable(path, simple=self._mode == SIMPLE)
            until = time.monotonic() + MOMENT
            while qgroups.rescan_running(path) and time.monotonic() < until:
                time.sleep(PAUSE / 10)

    def limit(self, path: str, size: int) -> None:
        """The subvolume at ``path`` may refer to ``size`` bytes. Not durable before a commit."""
        if self.counts and self.usage(path).limit != size:
            qgroups.limit(path, btrfs.subvolume_id(path), size)

    def raise_limit(self, path: str, size: int) -> None:
        """Like ``limit``, but never to less than was allowed."""
        found = self.usage(path).limit
        if found is None or found < size:
            self.limit(path, size)

    def usage(self, path: str) -> qgroups.Usage:
        """Of the subvolume at ``path``, as of the last commit; all zero where nobody counts."""
        if not self.counts:
            return qgroups.Usage(0, 0, None)
        return qgroups.usage(path, btrfs.subvolume_id(path))

    def referenced(self, path: str) -> int:
        """Bytes the subvolume at ``path`` refers to; 0 when it has just gone."""
        try:
            return self.usage(path).referenced
        except NotFound:
            return 0
        except HostFailed:
            if btrfs.is_subvolume(path):
                raise
            return 0

    def taken(self, path: str, ours: set[int], used: int) -> int:
        """Bytes the subvolumes ``ours`` take up of the ``used`` ones of their filesystem, shared ones once as far as
        can be told: at least what each has alone, at most what all refer to, or what nobody else refers to. Where nobody
        counts, all that is used passes for ours. O(subvolumes)."""
        if not self.counts:
            return used
        alone = referenced = others = 0
        for number, (exclusive, whole) in qgroups.exclusive_and_referenced(path).items():
            if number in ours:
                alone += exclusive
                referenced += whole
            else:
                others += whole
        return max(alone, min(referenced, used - others))

    def forget(self, path: str, numbers: set[int]) -> None:
        """The qgroups of subvolumes that are gone are gone too. Newer kernels have done so themselves; where data
        counted for one lives on in a snapshot (simple quota), it stays until then."""
        if not self.counts:
            return
        for number in sorted(numbers):
            try:
                qgroups.remove(path, number)
            except HostFailed:
                continue

    def ailments(self, path: str) -> Iterator[Ailment]:
        """What is wrong with the counting now."""
        if not self.counts:
            return
        found = qgroups.status(path)
        if not found.enabled:
            message = (
                f"quota of pool {self._pool} at {path} was turned off: no volume's size is enforced; restart the driver"
            )
            yield Ailment(Status.DEGRADED, "QuotaOff", message)
        elif found.inconsistent:
            remedy = "a rescan is running" if found.rescanning else "a rescan will mend it"
            if found.simple:
                remedy = "turn quota off and on again (btrfs quota disable), and restart the driver"
            message = f"the quota figures of pool {self._pool} at {path} are inconsistent: {remedy}"
            yield Ailment(Status.DEGRADED, "QuotaInconsistent", message)

    def wants_rescan(self, path: str) -> bool:
        """Whether the figures are wrong and counting again would mend them."""
        if self._mode != QGROUP:
            return False
        found = qgroups.status(path)
        return found.enabled and found.inconsistent

    def rescan(self, path: str, progress: Progress) -> None:
        """The figures were counted anew by the kernel; returns early when stopped, and the kernel goes on."""
        qgroups.rescan_start(path)
        while qgroups.rescan_running(path) and not progress.stopped():
            time.sleep(PAUSE)
