"""What can be asked of a btrfs pool, in its configuration and in a StorageClass; nothing is opened."""

from pathlib import Path
from typing import Any

import pytest

from driver.backends.btrfs import BtrfsBackend, configuration
from driver.backends.btrfs.configuration import Settings
from driver.model.errors import InvalidArgument
from driver.model.pool import PoolConfig

NOWHERE = Path("/nonexistent")


def config(path: str = "/pool", **options: Any) -> PoolConfig:
    return PoolConfig(name="fast", backend="btrfs", path=path, options=options)


def test_a_path_alone_counts_by_qgroups() -> None:
    """The default quota is exact."""
    assert Settings(quota="qgroup") == configuration.read(config())


def test_an_image_of_its_own_has_a_size_in_words() -> None:
    """Sizes are written as people write them, and are whole blocks."""
    read = configuration.read(config("", image="/data/pool.img", size="1GiB", quota="simple"))
    assert Settings(image="/data/pool.img", size=1 << 30, quota="simple") == read


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("", {}, "neither path .* nor image"),
        ("relative", {}, "path = 'relative'"),
        ("/pool", {"size": "1GiB"}, "size belongs to a pool with image"),
        ("/pool", {"quota": "some"}, "quota.* = 'some' is none of qgroup, simple, none"),
        ("/pool", {"compression": "zstd"}, "no key 'compression'"),
        ("", {"image": "pool.img"}, "image"),
    ],
)
def test_a_wrong_key_is_named(path: str, options: dict[str, Any], said: str) -> None:
    """Before anything is opened or made."""
    with pytest.raises(InvalidArgument, match=said):
        BtrfsBackend(config(path, **options), NOWHERE)


def test_a_volume_is_a_subvolume_of_btrfs() -> None:
    """No filesystem asked for, or btrfs; a small request is rounded up to what works."""
    backend = BtrfsBackend(config(), NOWHERE)
    for fs_type in ("", "btrfs"):
        shape = backend.shape(kind="filesystem", fs_type=fs_type, parameters={}, mutable={})
        assert (shape.fs_type, shape.minimum, shape.attributes) == ("btrfs", 1 << 20, {"wipe": "none"})


def test_mutable_parameters_win() -> None:
    """CSI CreateVolume: mutable_parameters over parameters."""
    backend = BtrfsBackend(config(), NOWHERE)
    shape = backend.shape(
        kind="filesystem", fs_type="", parameters={"compression": "lzo"}, mutable={"compression": "zstd"}
    )
    assert shape.attributes["compression"] == "zstd"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"kind": "block", "fs_type": ""}, "filesystem volumes only, not block"),
        ({"kind": "filesystem", "fs_type": "ext4"}, "'ext4' cannot be had"),
    ],
)
def test_another_kind_or_filesystem_is_refused_by_name(request_: dict[str, Any], said: str) -> None:
    """Never something else than asked for."""
    backend = BtrfsBackend(config(), NOWHERE)
    with pytest.raises(InvalidArgument, match=said):
        backend.shape(**request_, parameters={}, mutable={})


def test_a_level_of_compression_is_refused_with_the_reason() -> None:
    """The kernel would take it and ignore it."""
    backend = BtrfsBackend(config(), NOWHERE)
    with pytest.raises(InvalidArgument, match="compression = 'zstd:3': btrfs keeps no level per file"):
        backend.shape(kind="filesystem", fs_type="", parameters={"compression": "zstd:3"}, mutable={})
