"""The cells of the matrix: every backend in one process, and split into a controller and a node."""

from dataclasses import dataclass

MIB = 1 << 20
FS_TYPE = "csi.storage.k8s.io/fstype"
ACTIVE_CASES = 102
"""Cases csi-sanity v5.6.0 runs when a driver announces everything; one more is pending (docs: its own `XIt`)."""
MAX_VOLUMES_PER_NODE = 8
"""Small, because the attach-limit case makes that many volumes and one more."""


@dataclass(frozen=True)
class Backend:
    """One row: what pool, what kind of volume. Sizes in bytes.

    ``filesystem`` is what the pool's directory lies on: made for the cell ("xfs", "btrfs"), the disk as it is (""), or
    None for no pool in the configuration at all: the default pool.
    """

    name: str
    kind: str
    filesystem: str | None
    size: int
    parameters: tuple[tuple[str, str], ...] = ()
    mutable: tuple[str, str] = ("wipe", "none")
    access: str = "mount"


@dataclass(frozen=True)
class Cell:
    backend: Backend
    split: bool

    @property
    def name(self) -> str:
        return f"{self.backend.name}/{'split' if self.split else 'one'}"

    @property
    def slug(self) -> str:
        """Its name in file names."""
        return self.name.replace("/", "-")


BACKENDS = (
    Backend("image/ext4", "image", None, 16 * MIB, ((FS_TYPE, "ext4"),), ("provisioning", "thick")),
    # xfs makes no filesystem below 300 MiB.
    Backend("image/xfs", "image", "xfs", 300 * MIB, ((FS_TYPE, "xfs"),), ("provisioning", "thick")),
    Backend("image/block", "image", "xfs", 16 * MIB, (), ("provisioning", "thick"), access="block"),
    Backend("btrfs", "btrfs", "btrfs", 16 * MIB, (), ("compression", "zstd")),
    Backend("directory", "directory", "", 16 * MIB, (), ("wipe", "none")),
)
CELLS = tuple(Cell(backend, split) for backend in BACKENDS for split in (False, True))


def chosen(names: list[str]) -> list[Cell]:
    """The cells named, each by its whole name or its backend's; all for none. ValueError for a name that fits none."""
    known = {cell.name for cell in CELLS} | {backend.name for backend in BACKENDS}
    if unknown := sorted(set(names) - known):
        raise ValueError(f"no such cell: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    return [cell for cell in CELLS if not names or cell.name in names or cell.backend.name in names]
