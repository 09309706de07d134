"""When a filesystem is made, and when never."""

import uuid

import pytest

from driver.host.fsprobe import Signature
from driver.model import errors
from driver.model.volume import Volume
from driver.node import formatting


def _volume(name: str = "a") -> Volume:
    return Volume(id=f"p1.v-{name}", pool_id="p1", name=name, kind="filesystem", size=1 << 30, fs_type="ext4")


def _signature(kind: str, fs_uuid: str) -> Signature:
    return Signature(kind=kind, usage="filesystem", uuid=fs_uuid, label="")


def test_only_a_blank_volume_without_a_signature_is_formatted() -> None:
    """mkfs needs both proofs: the backend finds no data, and the probe recognizes nothing."""
    assert formatting.verdict(_volume(), blank=True, found=None) == "make"


@pytest.mark.parametrize("blank", [True, False])
def test_the_filesystem_made_for_this_volume_is_kept(blank: bool) -> None:
    """Its UUID follows from the volume's id: a record that forgot the formatting does not cost the data."""
    found = _signature("ext4", formatting.uuid_of("p1.v-a").upper())
    assert formatting.verdict(_volume(), blank=blank, found=found) == "keep"


@pytest.mark.parametrize(
    ("blank", "found"),
    [
        (False, None),
        (False, _signature("ext4", formatting.uuid_of("p1.v-b"))),
        (False, _signature("xfs", formatting.uuid_of("p1.v-a"))),
        (True, _signature("ext4", str(uuid.UUID(int=7)))),
        (False, _signature("LVM2_member", "")),
        (False, _signature("gpt", "")),
    ],
)
def test_anything_else_is_refused_not_formatted(blank: bool, found: Signature | None) -> None:
    """Data nobody can explain stays: a person decides."""
    with pytest.raises(errors.FailedPrecondition, match="not formatted over"):
        formatting.verdict(_volume(), blank=blank, found=found)


def test_two_volumes_never_share_a_uuid() -> None:
    """XFS refuses to mount two filesystems with one UUID."""
    assert formatting.uuid_of("p1.v-a") != formatting.uuid_of("p1.v-b")
    assert formatting.uuid_of("p1.v-a") == formatting.uuid_of("p1.v-a")
