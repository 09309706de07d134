"""Where a cell works: a directory on disk, short socket paths, a filesystem for its pool; all of it gone afterwards."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import leftovers

from .cells import MAX_VOLUMES_PER_NODE, Cell

POOL_SIZE = 8 << 30
"""Bytes a pool's own filesystem claims to have; the image is sparse."""
MAKE = {"xfs": ("mkfs.xfs", "-q", "-m", "reflink=1", "-s", "size=4096"), "btrfs": ("mkfs.btrfs", "-q")}


@dataclass(frozen=True)
class Places:
    """The paths of one cell. ``sockets`` lies elsewhere: a socket's path may have 107 bytes (unix(7))."""

    work: Path
    sockets: Path

    @property
    def pool(self) -> Path:
        return self.work / "pool"

    def endpoint(self, role: str) -> str:
        return f"unix://{self.sockets}/{role}.sock"


@contextmanager
def made(cell: Cell, base: Path) -> Iterator[Places]:
    """The cell's places with its pool's filesystem mounted. Whatever is left in them afterwards is torn down."""
    base.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{cell.slug}-", dir=base))
    sockets = Path(tempfile.mkdtemp(prefix="hold-", dir="/tmp"))
    places = Places(work, sockets)
    try:
        _make_pool(cell.backend.filesystem, places)
        yield places
    finally:
        leftovers.release(work)
        if not leftovers.mounts(work):
            shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(sockets, ignore_errors=True)


def strays(places: Places, before: set[str]) -> list[str]:
    """Mounts and loop devices of the cell that were not there ``before`` the driver started."""
    return [f"left behind: {thing}" for thing in sorted(everything(places) - before)]


def everything(places: Places) -> set[str]:
    """Mount points, and loop devices with their files, below the cell's directory."""
    looped = {f"{device} on {backing}" for device, backing in leftovers.loops(places.work).items()}
    return set(leftovers.mounts(places.work)) | looped


def driver_config(cell: Cell, places: Places) -> Path:
    """The TOML of the process that opens the pool."""
    lines = [f"max_volumes_per_node = {MAX_VOLUMES_PER_NODE}"]
    if cell.backend.filesystem is not None:
        # A TOML string is a JSON string; a checkout may lie in a folder with any name.
        path = json.dumps(f"{places.pool}/volumes")
        lines += ["[[pool]]", 'name = "sanity"', f'backend = "{cell.backend.kind}"', f"path = {path}"]
    return _written(places.work / "driver.toml", lines)


def controller_config(places: Places, node: str) -> Path:
    """The TOML of a controller that knows the one node."""
    node_table = ["[[node]]", f'name = "{node}"', f'endpoint = "{places.endpoint("node-controller")}"']
    return _written(places.work / "controller.toml", [f"max_volumes_per_node = {MAX_VOLUMES_PER_NODE}", *node_table])


def parameters(cell: Cell, places: Places) -> Path:
    """The StorageClass parameters as YAML."""
    pool = {} if cell.backend.filesystem is None else {"pool": "sanity"}
    return _yaml(
        places.work / "parameters.yaml", {"backend": cell.backend.kind, **pool, **dict(cell.backend.parameters)}
    )


def mutable_parameters(cell: Cell, places: Places) -> Path:
    """The VolumeAttributesClass parameters as YAML."""
    return _yaml(places.work / "mutable.yaml", dict([cell.backend.mutable]))


def _make_pool(filesystem: str | None, places: Places) -> None:
    if filesystem is None:
        return
    places.pool.mkdir()
    if filesystem:
        image = places.work / f"{filesystem}.img"
        with image.open("wb") as file:
            file.truncate(POOL_SIZE)
        _run(*MAKE[filesystem], str(image))
        _run("mount", "-t", filesystem, "-o", "loop", str(image), str(places.pool))
    (places.pool / "volumes").mkdir()


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")


def _written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def _yaml(path: Path, pairs: dict[str, str]) -> Path:
    return _written(path, [f'{key}: "{value}"' for key, value in pairs.items()])
