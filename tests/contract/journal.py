"""What a power cut right now would take away, told from the effects so far.

Kept as a cautious filesystem would: a change to a file is lost until the file is synced, a name made, moved or removed is
undecided until its directory is synced. A rename of a file that is not synced is an error at once: the name would be kept
and the content lost.
"""

import os
from collections.abc import Callable

from driver.host import effect

Args = tuple[object, ...]


class Journal:
    """Watches the effects of its block."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        """Whose content could be lost."""
        self.directories: set[str] = set()
        """Whose names are undecided."""
        self.errors: list[str] = []

    @property
    def volatile(self) -> set[str]:
        """Everything a power cut would undo."""
        return self.files | self.directories

    def __enter__(self) -> "Journal":
        effect.install(self)
        return self

    def __exit__(self, *_: object) -> None:
        effect.uninstall()

    def before(self, name: str, args: Args) -> None:
        act: Callable[[Args], None] | None = getattr(self, "_" + name.replace(".", "_"), None)
        if act is not None:
            act(args)

    def after(self, name: str, args: Args) -> None:
        pass

    def _named(self, path: str) -> None:
        self.directories.add(os.path.dirname(path))

    def _changed(self, args: Args) -> None:
        self.files.add(_path(args[0]))

    _files_allocate = _files_truncate = _files_punch = _zeros_write = _changed

    def _files_create_sparse(self, args: Args) -> None:
        path = _path(args[0])
        if not os.path.lexists(path):
            self._named(path)
        self.files.add(path)

    def unsure(self, *paths: str) -> None:
        """A crash may have come between a change and its sync: the repeat must sync these again."""
        for path in paths:
            (self.directories if os.path.isdir(path) else self.files).add(path)

    def _files_write_file(self, args: Args) -> None:
        self._named(_path(args[0]))

    def _files_make_dir(self, args: Args) -> None:
        if not os.path.isdir(_path(args[0])):
            self._named(_path(args[0]))

    def _reflink_clone(self, args: Args) -> None:
        target = _path(args[1])
        self._named(target)
        self.files.add(target)

    def _reflink_copy_range(self, args: Args) -> None:
        self.files.add(_path(args[1]))

    def _files_rename(self, args: Args) -> None:
        source, target = _path(args[0]), _path(args[1])
        if source in self.files:
            self.errors.append(f"{source} was renamed before it was synced")
        self._named(source)
        self._named(target)

    def _files_remove_file(self, args: Args) -> None:
        path = _path(args[0])
        if os.path.lexists(path):
            self._named(path)
        self.files.discard(path)

    def _files_fsync_file(self, args: Args) -> None:
        self.files.discard(_path(args[0]))

    def _files_fsync_dir(self, args: Args) -> None:
        self.directories.discard(_path(args[0]))


def _path(value: object) -> str:
    return os.readlink(f"/proc/self/fd/{value}") if isinstance(value, int) else str(value)
