"""What an image pool takes from its configuration and from requests."""

import pytest

from driver.backends.image import configuration, keys
from driver.model.errors import InvalidArgument
from driver.model.pool import PoolConfig
from driver.model.sizes import GIB, MIB, TIB

NOWHERE = {"name": "p", "backend": "image"}


def config(path: str = "/srv/p", **options: object) -> PoolConfig:
    return PoolConfig(**NOWHERE, path=path, options=options)


def shape(
    facts: keys.Facts | None = None, *, kind: str = "filesystem", fs_type: str = "", default: str = "thin", **given: str
):
    facts = facts or keys.Facts(fs_type="ext4")
    return keys.shape(keys.known(facts, default), facts, kind=kind, fs_type=fs_type, given=given, what="pool p")


def test_defaults() -> None:
    """A directory, thin volumes, direct IO where it can be had."""
    assert configuration.read(config()) == configuration.Settings(direct_io="auto", provisioning="thin")


def test_an_image_of_its_own() -> None:
    """Sizes as numbers or text; whole blocks."""
    found = configuration.read(config("", image="/x.img", size="10GiB", host_floor=5 * GIB))
    assert (found.image, found.size, found.host_floor) == ("/x.img", 10 * GIB, 5 * GIB)
    assert configuration.read(config("", image="/x.img", size=4097)).size == 4096
    assert configuration.read(config("", image="/x.img")).host_floor is None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"direct_io": True}, "direct_io"),
        ({"provisioning": "fat"}, "provisioning"),
        ({"image": "relative.img"}, "image"),
        ({"image": 7}, "image"),
        ({"size": "10GiB"}, "size"),
        ({"host_floor": 1}, "host_floor"),
        ({"image": "/x", "size": "much"}, "size"),
        ({"image": "/x", "size": -1}, "size"),
        ({"image": "/x", "size": True}, "size"),
        ({"image": "/x\0", "size": 1}, "image"),
    ],
)
def test_a_wrong_key_or_value_is_named(options: dict[str, object], named: str) -> None:
    """InvalidArgument naming the key, as the check of the configuration file looks for it."""
    with pytest.raises(InvalidArgument) as refusal:
        configuration.read(config(**options))
    assert repr(named) in refusal.value.message


def test_a_pool_lies_somewhere() -> None:
    """Neither path nor image, and a path that depends on where the driver was started."""
    for path in ("", "relative"):
        with pytest.raises(InvalidArgument, match="path"):
            configuration.read(config(path))


def test_a_filesystem_volume_is_ext4_unless_said() -> None:
    """And has at least the size its filesystem needs: ext4 1 MiB, xfs 300 MiB, btrfs about 110 MiB."""
    assert (shape().fs_type, shape().minimum) == ("ext4", MIB)
    assert shape(fs_type="xfs").minimum == 300 * MIB
    assert 109 * MIB <= shape(fs_type="btrfs").minimum <= 115 * MIB
    with pytest.raises(InvalidArgument, match="minix"):
        shape(fs_type="minix")


def test_a_block_volume_has_no_filesystem() -> None:
    """Whatever was named; its least size is a block."""
    found = shape(kind="block", fs_type="xfs")
    assert (found.fs_type, found.minimum) == ("", 4096)


def test_attributes_are_complete() -> None:
    """Those nobody asked for have the pool's default."""
    assert shape().attributes == {"provisioning": "thin", "wipe": "none"}
    assert shape(default="thick", wipe="discard").attributes == {"provisioning": "thick", "wipe": "discard"}


def test_a_wipe_that_cannot_be_kept_is_refused_with_the_reason() -> None:
    """zero where writing over a file does not reach its old blocks, discard where the device takes none."""
    with pytest.raises(InvalidArgument, match="beside"):
        shape(keys.Facts(fs_type="xfs", shares_extents=True, overwrites=False), wipe="zero")
    with pytest.raises(InvalidArgument, match="no discards"):
        shape(keys.Facts(fs_type="ext4", discards=False), wipe="discard")
    assert shape(wipe="zero").attributes["wipe"] == "zero"


def test_a_volume_fits_into_a_file() -> None:
    """ext4 ends one block short of 16 TiB; others much later."""
    assert shape().maximum == 16 * TIB - 4096
    assert shape(keys.Facts(fs_type="xfs")).maximum > 1 << 60
