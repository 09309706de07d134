"""Image files by volume, snapshot and trash id: made, measured, grown, moved into the trash."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from ...host import extents, files
from ...host import space as host_space
from ...host.failure import during
from ...model import ids, sizes
from ...model.errors import DataDamaged, HostFailed, InvalidArgument, NoSpace, OutOfRange
from ...model.snapshot import Snapshot
from ...model.volume import Volume
from ..base import Entry
from ..layout import Layout
from ..own_image import OwnImage
from .keys import PROVISION

NOT_OFFERED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY})
"""What a filesystem answers to what it does not do at all."""
IMAGE, PART = ".img", ".part"
"""A complete image; one being copied, which nobody lists."""


class Images:
    """The files below one pool's layout. ``own``: the image that holds the pool's filesystem, where it has one."""

    def __init__(self, layout: Layout, own: OwnImage | None = None) -> None:
        self._layout = layout
        self._own = own

    def path(self, thing: Volume | Snapshot, suffix: str = IMAGE) -> str:
        """Where its image lies. InvalidArgument when the id is none of ours."""
        if isinstance(thing, Volume):
            return self._layout.volume(thing.id, suffix)
        return self._layout.snapshot(thing.id, suffix)

    def look(self, thing: Volume | Snapshot) -> os.stat_result | None:
        """What is known of its image; None when there is none. DataDamaged when something else lies there; Unavailable
        when the pool is away."""
        path = self.path(thing)
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            self._layout.check_present()
            return None
        except OSError as error:
            self._layout.check_present()
            raise HostFailed(
                f"{path} cannot be looked at: {os.strerror(error.errno or 0)}", error.errno or 0
            ) from error
        if not stat.S_ISREG(found.st_mode):
            raise DataDamaged(f"{path} is no regular file; wanted the image of {thing.id}")
        return found

    def found(self, thing: Volume | Snapshot) -> str:
        """The path of its image. A volume's that was never formatted is made when it is missing: nothing was in it.
        DataDamaged when any other is missing or shorter than recorded."""
        found = self.look(thing)
        if isinstance(thing, Volume) and not thing.formatted and (found is None or found.st_size == 0):
            self.ensure_created(thing)
            return self.path(thing)
        if found is None:
            raise DataDamaged(f"the image of {thing.id} is missing: {self.path(thing)}")
        if found.st_size < thing.size:
            raise DataDamaged(
                f"the image of {thing.id} is {found.st_size} bytes long, and {thing.size} are recorded: {self.path(thing)}"
            )
        return self.path(thing)

    def ensure_created(self, volume: Volume) -> None:
        """An image of ``volume.size`` bytes exists; a thick one with all its blocks, and then durable."""
        path = self.path(volume)
        found = self.look(volume)
        if found is None and volume.formatted:
            raise DataDamaged(f"the image of {volume.id} is missing: {path}; it held data and is not made anew")
        if found is None or found.st_size < volume.size or (found.st_size > volume.size and self.is_blank(volume)):
            files.create_sparse(path, volume.size)
        if is_thick(volume):
            try:
                self.ensure_allocated(path, volume.size)
            except (NoSpace, InvalidArgument):
                if found is None:
                    files.remove_file(path)
                raise
            files.fsync_file(path)
            files.fsync_dir(self._layout.volumes)

    def ensure_allocated(self, path: str, size: int) -> None:
        """All of the first ``size`` bytes have blocks, down to the host's filesystem, and the file is at least that long.
        NoSpace, and then the file has its old length, and no blocks were taken unless the room went to somebody else
        meanwhile."""
        with during(f"measuring {path}"):
            found = os.stat(path)
        missing = size - found.st_blocks * 512
        free = self._own.room().free if self._own else host_space.space(self._layout.path).free
        if missing > free:
            raise NoSpace(f"{sizes.show(missing)} are to be allocated for {path}; {sizes.show(free)} are free")
        try:
            files.allocate(path, size)
            if self._own:
                self._own.back(path)
        except NoSpace:
            # Blocks that were taken beyond the end go with this; those inside are given back by release_unwritten.
            files.truncate(path, found.st_size)
            raise
        except HostFailed as error:
            if error.code not in NOT_OFFERED:
                raise
            raise InvalidArgument(
                f"{PROVISION}=thick is not possible here, because the pool's filesystem cannot preallocate: {error.message}"
            ) from error

    def release_unwritten(self, path: str) -> None:
        """Blocks that were allocated and never written are given back. Only while nobody can write to the image."""
        with during(f"opening {path}"):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            for extent in extents.extents(fd):
                if extent.flags & extents.Flag.UNWRITTEN:
                    files.punch(fd, extent.logical, extent.length)
            files.fsync_file(fd)
        finally:
            os.close(fd)

    def ensure_size(self, volume: Volume, size: int) -> None:
        """The image is at least ``size`` bytes long, durable; a thick one has all its blocks. NoSpace, unchanged then."""
        path = self.found(volume)
        if is_thick(volume):
            self.ensure_allocated(path, size)
        elif os.stat(path).st_size < size:
            try:
                files.truncate(path, size)
            except HostFailed as error:
                raise OutOfRange(
                    f"volume {volume.id} cannot have {size} bytes in this pool: {error.message}"
                ) from error
        files.fsync_file(path)

    def is_blank(self, volume: Volume) -> bool:
        """Whether its image provably holds no data: no extent was ever written."""
        path = self.path(volume)
        if not extents.has_data(path):
            return True
        # Where preallocated blocks were read through the page cache, SEEK_DATA takes their zeros for data.
        with during(f"opening {path}"):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return all(extent.flags & extents.Flag.UNWRITTEN for extent in extents.extents(fd))
        except HostFailed:
            return False
        finally:
            os.close(fd)

    def ensure_trashed(self, thing: Volume | Snapshot, trash_id: str) -> None:
        """Its image, complete or not, lies in the trash. What is in its place once something lies there is a namesake's."""
        image, part = self.path(thing), self.path(thing, PART)
        if done := self.trashed(trash_id):
            self._layout.move_to_trash(image, done[0])
        elif os.path.lexists(image):
            # Both only after a snapshot was cut anew: the part shares all it has with the image or the source.
            files.remove_file(part)
            self._layout.move_to_trash(image, self._layout.trashed(trash_id, IMAGE))
        else:
            self._layout.move_to_trash(part, self._layout.trashed(trash_id, PART))

    def trashed(self, trash_id: str) -> list[str]:
        """The files in the trash under that id."""
        self._layout.check_present()
        paths = (self._layout.trashed(trash_id, suffix) for suffix in (IMAGE, PART))
        return [path for path in paths if os.path.lexists(path)]

    def contents(self) -> Iterator[Entry]:
        """Everything in the pool's directories; a part counts as what it is to become."""
        self._layout.check_present()
        yield from self._entries(self._layout.volumes, "volume")
        yield from self._entries(self._layout.snapshots, "snapshot")
        yield from self._entries(self._layout.trash, "trash")

    def _entries(self, directory: str, where: str) -> Iterator[Entry]:
        for name in self._layout.names(directory):
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(f"{directory}/{name}")
                known = _id_of(name, where) if stat.S_ISREG(found.st_mode) else ""
                yield Entry(known or name, where if known else "foreign", found.st_size, found.st_blocks * 512)


def is_thick(volume: Volume) -> bool:
    """Whether all blocks of the volume's image are allocated beforehand."""
    return volume.attributes.get(PROVISION) == "thick"


def _id_of(name: str, where: str) -> str:
    stem = next((name.removesuffix(suffix) for suffix in (IMAGE, PART) if name.endswith(suffix)), "")
    if where == "trash":
        return stem
    return stem if ids.is_kind(stem, ids.VOLUME if where == "volume" else ids.SNAPSHOT) else ""
