"""A tree copied so that a crash at any moment costs at most the last stretch.

The copy grows in ``<partial>/tree``; ``<partial>/links`` keeps one more name of every file that has several, under its
inode number in the source, until the end: that is how further names find it, however deep the first one lies and
whatever was forgotten in a crash. Both are made durable stretch by stretch, and only then reported, so that a later run
passes over what lies before the reported byte if it still looks the same.

| step | a crash after it leaves |
|---|---|
| entries made, in the order of the walk | a part, its end not durable; a later run makes what was not reported again |
| synced, reported | a part that is durable up to there |
| all synced, ``links`` renamed | the whole tree, known to be whole: without its links, no name could be made again |
| the links removed | the whole tree, not in place |
| renamed into place, directories synced | the copy, and perhaps an empty directory of the part |
"""

import os
import stat
from typing import NamedTuple

from ...host import entries, extents, failure, files, freeze, reflink, tree, walk
from ...model.sizes import round_up
from ..base import Progress

ENTRY = 512
"""What a name counts for in bytes, beside its data: about an inode."""
STRETCH_BYTES = 256 << 20
STRETCH_ENTRIES = 2000
LARGE = 64 << 20
"""Files from here on report inside themselves."""


class Places(NamedTuple):
    """Where a copy comes from, grows and ends; the last two on one filesystem."""

    source: str
    partial: str
    target: str


def total(source: str) -> int:
    """Bytes that copying the tree at ``source`` comes to, names included, once its dirty data is written."""
    with failure.during(f"measuring {source}"), walk.Cursor(source) as cursor:
        freeze.sync_filesystem(source)
        return sum(weight(visit.seen) for visit in walk.walk(cursor) if visit.what != "leave")


def weight(seen: os.stat_result) -> int:
    """Bytes an entry counts for: its data, shared evenly by its names, and one inode."""
    if not stat.S_ISREG(seen.st_mode):
        return ENTRY
    return ENTRY + round_up(min(seen.st_size, seen.st_blocks * 512) // seen.st_nlink)


def copy_tree(places: Places, start: int, total_bytes: int, share: bool, progress: Progress) -> bool:
    """``places.target`` is the whole, durable copy of ``places.source``; False when stopped early.

    ``start`` is what an earlier run reported last, 0 for a fresh copy. ``share``: let files share their extents where
    the filesystem can. Raises InUse when something is mounted in the source, NoSpace, HostFailed, Busy when the source
    changes meanwhile.
    """
    if walk.look(places.target) is not None:
        # Seen, but perhaps not synced: an earlier run may have died just after the rename.
        files.fsync_dir(os.path.dirname(places.target))
        tree.remove_tree(places.partial)
        return True
    part, links, done = (f"{places.partial}/{name}" for name in ("tree", "links", "done"))
    if start == 0:
        tree.remove_tree(places.partial)
    if walk.look(part) is None or walk.look(links) is not None:
        for path in (places.partial, links, part):
            files.make_dir(path)
        with failure.during(f"copying {places.source}"), walk.Cursor(places.source) as source:
            with walk.Cursor(part) as target, walk.Cursor(links) as kept:
                if not _Copying(source, target, kept, places.partial, start, total_bytes, share, progress).run():
                    return False
        freeze.sync_filesystem(places.partial)
        files.rename(links, done)
    tree.remove_tree(done)
    files.rename_durably(part, places.target)
    files.remove_dir(places.partial)
    progress.report(total_bytes, total_bytes)
    return True


class _Copying:
    """One run over the tree. ``done`` bytes lie behind it."""

    def __init__(
        self,
        source: walk.Cursor,
        target: walk.Cursor,
        links: walk.Cursor,
        partial: str,
        start: int,
        total_bytes: int,
        share: bool,
        progress: Progress,
    ) -> None:
        self.source = source
        self.target = target
        self.links = links.fd
        self.partial = partial
        self.start = start
        self.total = total_bytes
        self.share = share
        self.progress = progress
        self.done = 0
        self.unsynced_bytes = 0
        self.unsynced_entries = 0

    def run(self) -> bool:
        """All entries are made, though not all synced; False when stopped."""
        for visit in walk.walk(self.source):
            if self.progress.stopped():
                return False
            match visit.what:
                case "enter":
                    entries.make_directory(self.target.fd, visit.name)
                    self.target.down(visit.name)
                case "leave":
                    entries.give_directory_attributes(self.source.fd, self.target.fd)
                    if self.target.depth:
                        self.target.up()
                    continue
                case "leaf":
                    if not self.leaf(visit.name, visit.seen):
                        return False
            self.passed(weight(visit.seen))
        return True

    def passed(self, size: int) -> None:
        """One more entry lies behind; a full stretch is made durable and reported."""
        self.done += size
        self.unsynced_bytes += size
        self.unsynced_entries += 1
        if self.done > self.start and (
            self.unsynced_bytes >= STRETCH_BYTES or self.unsynced_entries >= STRETCH_ENTRIES
        ):
            freeze.sync_filesystem(self.partial)
            self.unsynced_bytes = self.unsynced_entries = 0
            self.progress.report(min(self.done, self.total), self.total)

    def leaf(self, name: str, seen: os.stat_result) -> bool:
        """The entry is there with data and attributes; False when stopped in the middle."""
        if self.done + weight(seen) <= self.start and self.there(self.target.fd, name, seen):
            return True
        several = seen.st_nlink > 1
        kept = f"{seen.st_dev:x}-{seen.st_ino:x}"
        if several and self.there(self.links, kept, seen):
            entries.make_link(self.links, kept, self.target.fd, name)
            return True
        if stat.S_ISREG(seen.st_mode):
            if not self.regular(name, seen):
                return False
        else:
            entries.make_special(self.source.fd, self.target.fd, name, seen)
        entries.give_attributes(self.source.fd, self.target.fd, name, seen)
        if several:
            self.keep(name, kept, seen)
        return True

    def there(self, directory: int, name: str, seen: os.stat_result) -> bool:
        """Whether an earlier run has made the entry: attributes come last, so they say that the data is complete."""
        found = walk.status(directory, name)
        return found is not None and entries.alike(found, seen)

    def keep(self, name: str, kept: str, seen: os.stat_result) -> None:
        """The entry has its further name in ``links``, and whenever that is found, its data is on disk."""
        if stat.S_ISREG(seen.st_mode):
            files.fsync_file(f"/proc/self/fd/{self.target.fd}/{name}")
        entries.make_link(self.target.fd, name, self.links, kept)

    def regular(self, name: str, seen: os.stat_result) -> bool:
        source = entries.open_source(self.source.fd, name, seen)
        try:
            if seen.st_size < LARGE or seen.st_nlink > 1:
                target = entries.make_file(self.target.fd, name)
                try:
                    if not self.shared(source, target):
                        entries.copy_data(source, target, seen.st_size)
                finally:
                    os.close(target)
                return True
            return self.large(source, name, seen)
        finally:
            os.close(source)

    def shared(self, source: int, target: int) -> bool:
        return self.share and entries.share_data(source, target)

    def large(self, source: int, name: str, seen: os.stat_result) -> bool:
        """As ``regular``, going on where an earlier run was inside this file."""
        copied = max(0, self.start - self.done)
        found = walk.status(self.target.fd, name)
        if copied and found is not None and stat.S_ISREG(found.st_mode):
            target, reached = entries.open_part(self.target.fd, name), _offset_after(source, copied, seen.st_size)
        else:
            target, reached, copied = entries.make_file(self.target.fd, name), 0, 0

        def report(offset: int) -> None:
            nonlocal copied, reached
            copied += sum(length for _, length in extents.allocated(source, reached, offset))
            reached = offset
            self.inside(min(copied, weight(seen) - 1))

        try:
            if not reached and self.shared(source, target):
                return True
            complete = reflink.copy_sparse(
                source, target, start=reached, end=seen.st_size, progress=report, cancelled=self.progress.stopped
            )
            if complete:
                files.truncate(f"/proc/self/fd/{target}", seen.st_size)
            return complete
        finally:
            os.close(target)

    def inside(self, part: int) -> None:
        """``part`` of the bytes of the entry at hand are durable, and so is all before it."""
        if self.unsynced_entries:
            freeze.sync_filesystem(self.partial)
            self.unsynced_bytes = self.unsynced_entries = 0
        self.progress.report(min(self.done + part, self.total), self.total)


def _offset_after(source: int, data_bytes: int, size: int) -> int:
    """Where in a file that many bytes of data, holes not counted, lie behind."""
    for offset, length in extents.allocated(source, 0, size):
        if data_bytes < length:
            return offset + data_bytes
        data_bytes -= length
    return size
