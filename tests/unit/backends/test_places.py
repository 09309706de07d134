"""Where pools are: known backends, their keys, paths from ids, and what is remembered of them."""

from pathlib import Path

import pytest

from driver.backends import default_pool, options, registry
from driver.backends.layout import Layout
from driver.backends.memory import Memory
from driver.model import ids
from driver.model.errors import InvalidArgument
from driver.model.pool import PoolConfig

POOL = "p0123456789ab"


def test_three_backends_are_known() -> None:
    """Through the entry-point group that third parties use as well."""
    assert set(registry.known()) >= {"btrfs", "directory", "image"}


def test_an_unknown_backend_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """InvalidArgument naming both."""
    with pytest.raises(InvalidArgument, match=r"'tape'.*image"):
        registry.create(PoolConfig(name="p", backend="tape"), tmp_path)


def test_a_backend_is_made_without_touching_anything(tmp_path: Path) -> None:
    """``create`` opens nothing: the pool's storage may be away."""
    config = PoolConfig(name="p", backend="image", path=str(tmp_path / "away"))
    assert registry.create(config, tmp_path / "root").kind == "image"
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_key_is_refused() -> None:
    """It must never be silently ignored."""
    with pytest.raises(InvalidArgument, match=r"'sise'.*size"):
        options.check_known(PoolConfig(name="p", backend="image", options={"sise": 1}), ("size",))


def opened(tmp_path: Path) -> Layout:
    layout = Layout("p", tmp_path / "root")
    (tmp_path / "pool").mkdir()
    layout.open(str(tmp_path / "pool"))
    return layout


def test_ids_become_paths_in_their_own_directory(tmp_path: Path) -> None:
    """Volumes, snapshots and trash, each its own place."""
    layout = opened(tmp_path)
    volume, snapshot = ids.derive(POOL, ids.VOLUME, "n"), ids.derive(POOL, ids.SNAPSHOT, "n")
    assert layout.volume(volume, ".img") == f"{tmp_path}/pool/volumes/{volume}.img"
    assert layout.snapshot(snapshot) == f"{tmp_path}/pool/snapshots/{snapshot}"
    assert layout.trashed(f"{volume}.1f") == f"{tmp_path}/pool/.holdall/trash/{volume}.1f"
    layout.close()


@pytest.mark.parametrize(
    "strange", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\0", "a\n", "-rf", ".hidden", "ü", "x" * 201]
)
def test_nothing_else_becomes_a_path(tmp_path: Path, strange: str) -> None:
    """InvalidArgument, also for the id of another kind of thing."""
    layout = opened(tmp_path)
    for turn in (layout.volume, layout.snapshot, layout.trashed):
        with pytest.raises(InvalidArgument):
            turn(strange)
    with pytest.raises(InvalidArgument):
        layout.volume(ids.derive(POOL, ids.SNAPSHOT, "n"))
    with pytest.raises(InvalidArgument):
        layout.snapshot(ids.derive(POOL, ids.VOLUME, "n"))
    layout.close()


def test_the_longest_id_is_a_name_with_room_for_its_suffix(tmp_path: Path) -> None:
    """Names have 255 bytes (limits.h): an id, the serial of its trash, and what kind of file it is."""
    layout = opened(tmp_path)
    volume = ids.derive(POOL, ids.VOLUME, "x" * 128)
    Path(layout.trashed(f"{volume}.{2**64:x}", ".partial")).touch()
    layout.close()


def test_a_pool_is_remembered_where_it_was(tmp_path: Path) -> None:
    """Path and image are kept apart, and survive a restart; what cannot be read is nothing."""
    memory = Memory(tmp_path / "state")
    assert (memory.path, memory.image) == ("", "")
    memory.remember_path("/srv/a")
    memory.remember_image("/srv/a.img")
    again = Memory(tmp_path / "state")
    assert (again.path, again.image) == ("/srv/a", "/srv/a.img")
    again.file.write_bytes(b"{")
    assert (again.path, again.image) == ("", "")


def test_the_default_pool_keeps_what_it_chose(tmp_path: Path) -> None:
    """An image that is there is used, and a directory that holds a pool, whatever else would be chosen today."""
    (tmp_path / "pool.img").touch()
    assert default_pool.config(str(tmp_path), {}).options == {"image": f"{tmp_path}/pool.img"}
    (tmp_path / "pool.img").unlink()
    (tmp_path / "pool" / ".holdall").mkdir(parents=True)
    assert default_pool.config(str(tmp_path), {}).path == f"{tmp_path}/pool"
