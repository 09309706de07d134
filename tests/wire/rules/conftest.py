"""One driver for all rules: pools that share extents and pools that copy; every test uses names of its own."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from csi.v1 import csi_pb2
from tests.daemon import Daemon, Stubs
from tests.filesystems import filesystems

__all__ = ["daemon", "fails", "filesystems", "make", "name", "stubs"]

MIB = 1 << 20
NODE = "node-a"
TOPOLOGY_KEY = "holdall.csi.dev/node"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def daemon(filesystems: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    pools = [
        ("shared", "image", "xfs"),
        ("copied", "image", "ext4"),
        ("sub", "btrfs", "btrfs"),
        ("dir", "directory", "ext4"),
    ]
    config = "max_volumes_per_node = 8\n"
    for pool, backend, kind in pools:
        path = filesystems[kind] / f"rules-{pool}"
        path.mkdir()
        config += f'[[pool]]\nname = "{pool}"\nbackend = "{backend}"\npath = "{path}"\n'
    with Daemon(tmp_path_factory.mktemp("rules"), config=config, node_id=NODE) as daemon:
        yield daemon
        assert "Traceback" not in daemon.output()


@pytest.fixture(scope="session")
def stubs(daemon: Daemon) -> Iterator[Stubs]:
    with Stubs(daemon.endpoint) as stubs:
        yield stubs


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Callable[[], str]:
    """A new name at each call."""
    return lambda: f"{request.node.name[:60]}-{next(_numbers)}"


def capability(access: str = "mount", mode: str = "SINGLE_NODE_WRITER", fs_type: str = "") -> csi_pb2.VolumeCapability:
    made = csi_pb2.VolumeCapability()
    if access == "block":
        made.block.SetInParent()
    else:
        made.mount.fs_type = fs_type
        made.mount.SetInParent()
    made.access_mode.mode = csi_pb2.VolumeCapability.AccessMode.Mode.Value(mode)
    return made


def volume_request(name: str, *, size: int = 4 * MIB, limit: int = 0, pool: str = "shared", **more: Any) -> Any:
    """A CreateVolumeRequest; ``more`` are its fields as they stand."""
    parameters = {"pool": pool} | more.pop("parameters", {})
    capabilities = more.pop("volume_capabilities", [capability()])
    request = csi_pb2.CreateVolumeRequest(name=name, parameters=parameters, volume_capabilities=capabilities, **more)
    if size or limit:
        request.capacity_range.required_bytes = size
        request.capacity_range.limit_bytes = limit
    return request


@pytest.fixture
def make(stubs: Stubs, name: Callable[[], str]) -> Iterator[Callable[..., Any]]:
    """Makes a volume and takes it away at the end of the test."""
    made: list[str] = []

    def create(**more: Any) -> Any:
        volume = stubs.controller.CreateVolume(
            volume_request(more.pop("name", "") or name(), **more), timeout=30
        ).volume
        made.append(volume.volume_id)
        return volume

    yield create
    for volume_id in made:
        stubs.controller.DeleteVolume(csi_pb2.DeleteVolumeRequest(volume_id=volume_id), timeout=30)


@pytest.fixture
def fails() -> Callable[..., str]:
    """Calls, and expects this status code; gives the message, which must not be empty, with no details beside it."""

    def call(code: str, method: Callable[..., Any], request: Any) -> str:
        with pytest.raises(grpc.RpcError) as refusal:
            _answer(method, request)
        error = refusal.value
        assert error.code() is grpc.StatusCode[code], f"{error.code()}: {error.details()}"
        assert error.details(), "the message must not be empty"
        assert "grpc-status-details-bin" not in dict(error.trailing_metadata() or ()), "details must be empty"
        return str(error.details())

    return call


def _answer(method: Callable[..., Any], request: Any) -> Any:
    """The answer; of a stream, all of it."""
    answer = method(request, timeout=30)
    return list(answer) if hasattr(answer, "__next__") else answer
