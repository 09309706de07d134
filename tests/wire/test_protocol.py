"""Our protocols are the published ones: every number, type, name, option and flag."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

# Imported before a fixture is parsed: they register the extensions its options are made of.
from csi.pluginregistration.v1 import pluginregistration_pb2
from csi.v1 import csi_pb2
from tests.wire.descriptors import compiled, differences

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def published(fixture: str, package: str) -> FileDescriptorProto:
    files = FileDescriptorSet.FromString((HERE / fixture).read_bytes()).file
    return next(file for file in files if file.package == package)


def csi() -> FileDescriptorProto:
    return published("csi-1.13.binpb", "csi.v1")


def test_csi_is_the_published_protocol() -> None:
    """CSI 1.13.0, to the last option."""
    assert differences(csi(), compiled(csi_pb2.DESCRIPTOR)) == []


def test_plugin_registration_is_the_published_protocol() -> None:
    """The kubelet's plugin registration API, v1."""
    expected = published("pluginregistration-v1.binpb", "pluginregistration")
    assert differences(expected, compiled(pluginregistration_pb2.DESCRIPTOR)) == []


def test_every_service_of_csi_is_whole() -> None:
    """CSI 1.13.0 has 36 RPCs in five services; said here too, so that a fixture cannot shrink unseen."""
    counts = {service.name: len(service.method) for service in csi().service}
    assert counts == {"Identity": 3, "Controller": 17, "GroupController": 4, "SnapshotMetadata": 2, "Node": 10}


def test_secrets_and_alpha_marks_are_read_as_options() -> None:
    """Without the extensions both sides would hold unknown fields, and the interceptor would find no secret to hide."""
    secrets = field(message(csi(), "CreateVolumeRequest"), "secrets").options
    assert secrets.Extensions[csi_pb2.csi_secret]
    alpha = next(service for service in csi().service if service.name == "SnapshotMetadata").options
    assert alpha.Extensions[csi_pb2.alpha_service]


def message(file: FileDescriptorProto, *path: str) -> DescriptorProto:
    name, *rest = path
    found = next(item for item in file.message_type if item.name == name)
    for step in rest:
        found = next(item for item in found.nested_type if item.name == step)
    return found


def field(owner: DescriptorProto, name: str) -> FieldDescriptorProto:
    return next(item for item in owner.field if item.name == name)


def renumber(file: FileDescriptorProto) -> None:
    field(message(file, "Volume"), "volume_id").number = 9


def retype(file: FileDescriptorProto) -> None:
    field(message(file, "CapacityRange"), "limit_bytes").type = FieldDescriptorProto.TYPE_UINT64


def point_elsewhere(file: FileDescriptorProto) -> None:
    field(message(file, "Snapshot"), "creation_time").type_name = ".csi.v1.Topology"


def repeat(file: FileDescriptorProto) -> None:
    field(message(file, "ProbeResponse"), "ready").label = FieldDescriptorProto.LABEL_REPEATED


def rename_in_json(file: FileDescriptorProto) -> None:
    field(message(file, "VolumeUsage"), "used").json_name = "USED"


def make_optional(file: FileDescriptorProto) -> None:
    field(message(file, "VolumeUsage"), "total").proto3_optional = True


def leave_the_oneof(file: FileDescriptorProto) -> None:
    field(message(file, "VolumeCapability"), "block").ClearField("oneof_index")


def deprecate(file: FileDescriptorProto) -> None:
    field(message(file, "Volume"), "capacity_bytes").options.deprecated = True


def show_secret(file: FileDescriptorProto) -> None:
    field(message(file, "NodeStageVolumeRequest"), "secrets").options.ClearExtension(csi_pb2.csi_secret)


def add_unknown_option(file: FileDescriptorProto) -> None:
    # Field 2000, varint 1: an option of an extension that is not loaded.
    field(message(file, "Topology"), "segments").options.MergeFromString(b"\x80\x7d\x01")


def drop_message(file: FileDescriptorProto) -> None:
    file.message_type.remove(message(file, "NodeUnstageVolumeResponse"))


def drop_alpha(file: FileDescriptorProto) -> None:
    message(file, "GetSnapshotRequest").options.ClearExtension(csi_pb2.alpha_message)


def free_number(file: FileDescriptorProto) -> None:
    del message(file, "NodeGetVolumeStatsResponse").reserved_range[:]


def reserve_name(file: FileDescriptorProto) -> None:
    message(file, "Volume").reserved_name.append("attributes")


def change_enum(file: FileDescriptorProto) -> None:
    message(file, "VolumeUsage").enum_type[0].value[1].number = 5


def free_enum_number(file: FileDescriptorProto) -> None:
    message(file, "NodeServiceCapability", "RPC").enum_type[0].reserved_range[0].end = 7


def stop_streaming(file: FileDescriptorProto) -> None:
    next(item for item in file.service if item.name == "SnapshotMetadata").method[1].server_streaming = False


def drop_rpc(file: FileDescriptorProto) -> None:
    del next(item for item in file.service if item.name == "Node").method[0]


def move_extension(file: FileDescriptorProto) -> None:
    next(item for item in file.extension if item.name == "csi_secret").number = 1061


def change_package(file: FileDescriptorProto) -> None:
    file.options.go_package = "example.org/csi"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (renumber, "message_type Volume/field volume_id/number: published 2, ours 9"),
        (retype, "message_type CapacityRange/field limit_bytes/type"),
        (point_elsewhere, "message_type Snapshot/field creation_time/type_name"),
        (repeat, "message_type ProbeResponse/field ready/label"),
        (rename_in_json, "message_type VolumeUsage/field used/json_name"),
        (make_optional, "message_type VolumeUsage/field total/proto3_optional"),
        (leave_the_oneof, "message_type VolumeCapability/field block/oneof_index"),
        (deprecate, "message_type Volume/field capacity_bytes/options"),
        (show_secret, "message_type NodeStageVolumeRequest/field secrets/options.(csi_secret)"),
        (add_unknown_option, "message_type Topology/field segments/options"),
        (drop_message, "message_type NodeUnstageVolumeResponse"),
        (drop_alpha, "message_type GetSnapshotRequest/options.(alpha_message)"),
        (free_number, "message_type NodeGetVolumeStatsResponse/reserved_range 0"),
        (reserve_name, "message_type Volume/reserved_name"),
        (change_enum, "message_type VolumeUsage/enum_type Unit/value BYTES/number"),
        (free_enum_number, "nested_type RPC/enum_type Type/reserved_range 0/end"),
        (stop_streaming, "service SnapshotMetadata/method GetMetadataDelta/server_streaming"),
        (drop_rpc, "service Node/method NodeStageVolume"),
        (move_extension, "extension csi_secret/number"),
        (change_package, "options/go_package"),
    ],
)
def test_a_difference_is_reported_by_name(change: Callable[[FileDescriptorProto], None], named: str) -> None:
    """The comparison above can fail, and names the changed element and no other."""
    ours = compiled(csi_pb2.DESCRIPTOR)
    change(ours)
    found = differences(csi(), ours)
    assert found
    assert [line for line in found if named not in line] == []


def check_stubs(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, root / "tools/proto.py", "--check"], capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The protocols elsewhere, under a name that a path list would split."""
    root = tmp_path / "a copy: of it"
    shutil.copytree(ROOT / "csi", root / "csi", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "tools").mkdir()
    shutil.copyfile(ROOT / "tools/proto.py", root / "tools/proto.py")
    return root


def test_the_stubs_are_what_the_protocols_give() -> None:
    """Committed stubs and .proto files cannot drift apart."""
    result = check_stubs(ROOT)
    assert result.returncode == 0, result.stderr


def test_stubs_are_the_same_wherever_the_repository_lies(copy: Path) -> None:
    """No path of the machine that generated them is in a stub."""
    result = check_stubs(copy)
    assert result.returncode == 0, result.stderr


def test_a_stale_stub_is_named(copy: Path) -> None:
    """Only the stubs of the edited protocol are; and checking writes nothing."""
    edited = copy / "csi/holdall/v1/holdall.proto"
    edited.write_text(edited.read_text().replace("string reason = 8", "string reason = 88"))
    (copy / "csi/v1/csi_pb2_grpc.pyi").unlink()
    result = check_stubs(copy)
    assert result.returncode == 1
    named = [line.split()[1] for line in result.stderr.splitlines()]
    assert named == ["csi/v1/csi_pb2_grpc.pyi", "csi/holdall/v1/holdall_pb2.py"]
    assert not (copy / "csi/v1/csi_pb2_grpc.pyi").exists()
