"""CSI's size limits, for every field of every request."""

import pytest
from google.protobuf.message import Message

from csi.v1 import csi_pb2 as csi
from driver.model import errors
from driver.rpc import limits

from .messages import filled, requests

KINDS = list(requests())


def says_anything(kind: type[Message]) -> bool:
    """Whether it has a string somewhere."""
    return b"mark" in filled(kind, "mark").SerializeToString()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.DESCRIPTOR.name)
def test_a_request_within_the_limits_passes(kind: type[Message]) -> None:
    """128 bytes in every string are allowed, and non-ASCII counts by its bytes."""
    limits.check(filled(kind, "x" * 128))
    limits.check(filled(kind, "ü" * 64))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if says_anything(kind)], ids=lambda kind: kind.DESCRIPTOR.name)
def test_a_request_with_overlong_strings_is_refused(kind: type[Message]) -> None:
    """CSI "Size Limits": no string, path or map of any request may be of any length."""
    with pytest.raises(errors.InvalidArgument, match="are allowed"):
        limits.check(filled(kind, "x/" * 2049))


def test_the_refusal_names_the_field_at_any_depth() -> None:
    """INVALID_ARGUMENT must say what to change."""
    request = csi.CreateVolumeRequest(name="n")
    request.volume_capabilities.add()
    request.volume_capabilities.add().mount.fs_type = "ü" * 65

    with pytest.raises(errors.InvalidArgument) as refused:
        limits.check(request)
    assert refused.value.message == "volume_capabilities[1].mount.fs_type has 130 bytes; at most 128 are allowed"


def test_a_map_is_bounded_by_its_keys_and_values_together() -> None:
    """CSI "Size Limits": map<string,string> 4 KiB."""
    full = {str(number).rjust(24): "x" * 1000 for number in range(4)}
    limits.check(csi.CreateVolumeRequest(parameters=full))

    with pytest.raises(errors.InvalidArgument, match="parameters has 4097 bytes of keys and values"):
        limits.check(csi.CreateVolumeRequest(parameters=full | {"": "x"}))


def test_paths_may_be_as_long_as_the_kernel_takes_them() -> None:
    """CSI frees target_path and staging_target_path from the general limit; path_resolution(7) holds."""
    limits.check(csi.NodePublishVolumeRequest(target_path="/x" * 2047))

    with pytest.raises(errors.InvalidArgument, match="target_path has 4096 bytes"):
        limits.check(csi.NodePublishVolumeRequest(target_path="/x" * 2048))
    with pytest.raises(errors.InvalidArgument, match="target_path has a component of more than 255 bytes"):
        limits.check(csi.NodePublishVolumeRequest(target_path="/a/" + "ü" * 128 + "/b"))


def test_a_node_id_may_have_256_bytes() -> None:
    """CSI NodeGetInfoResponse.node_id."""
    limits.check(csi.ControllerPublishVolumeRequest(node_id="n" * 256))

    with pytest.raises(errors.InvalidArgument, match="node_id has 257 bytes"):
        limits.check(csi.ControllerPublishVolumeRequest(node_id="n" * 257))


def test_mount_flags_are_bounded_together() -> None:
    """CSI MountVolume.mount_flags: 4 KiB in total."""
    capability = csi.VolumeCapability()
    capability.mount.mount_flags.extend(["x" * 2048] * 2)
    limits.check(csi.NodeStageVolumeRequest(volume_capability=capability))
    capability.mount.mount_flags.append("x")

    with pytest.raises(errors.InvalidArgument, match=r"volume_capability\.mount\.mount_flags has 4097 bytes together"):
        limits.check(csi.NodeStageVolumeRequest(volume_capability=capability))


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x0b", "\x1f", "\x7f", "\x85", "\x9f"])
def test_control_characters_are_refused(character: str) -> None:
    """CSI CreateVolume.name: U+0000-0008, 000B, 000C, 000E-001F, 007F-009F are not allowed; nor anywhere else here."""
    for request in (
        csi.CreateVolumeRequest(name=f"a{character}b"),
        csi.NodePublishVolumeRequest(target_path=f"/a{character}b"),
        csi.CreateVolumeRequest(parameters={f"a{character}b": "x"}),
    ):
        with pytest.raises(errors.InvalidArgument, match="contains control characters"):
            limits.check(request)


def test_names_may_be_any_other_text() -> None:
    """CSI CreateVolume.name: any Unicode; a name is never a file name."""
    limits.check(csi.CreateVolumeRequest(name="../../ü 🦔\t\n\r%00"))
