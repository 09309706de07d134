"""Registering with kubelet: the test plays kubelet, which finds a socket in its directory and calls it; the driver is real."""

import os
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from csi.holdall.v1 import holdall_pb2 as holdall
from csi.pluginregistration.v1 import pluginregistration_pb2 as pb
from csi.pluginregistration.v1 import pluginregistration_pb2_grpc as stubs
from csi.v1 import csi_pb2 as csi
from tests.daemon import Daemon, Stubs
from tests.fuse import Fuse

from . import test_hung_pool
from .fleets import capability

fuse = test_hung_pool.fuse
NAME = "holdall.csi.dev"


@pytest.fixture
def registry(socket_path: Path) -> Path:
    """Kubelet's directory of registration sockets."""
    directory = socket_path / "plugins_registry"
    directory.mkdir()
    return directory


def node(directory: Path, registry: Path, *, config: str = "", role: str = "node") -> Daemon:
    """A driver with one pool, that is to register in ``registry``; not started."""
    pool = directory / "pool"
    pool.mkdir(parents=True)
    config += f'\n[[pool]]\nname = "a"\nbackend = "directory"\npath = "{pool}"\n'
    return Daemon(directory, role=role, config=config, options=["--registration-dir", str(registry)])


@pytest.fixture
def daemon(socket_path: Path, registry: Path) -> Iterator[Daemon]:
    with node(socket_path / "a", registry) as daemon:
        yield daemon
        assert "Traceback" not in daemon.output()


def until(what: Callable[[], bool], patience: float = 10.0) -> None:
    """Returns once ``what`` is so."""
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def found(registry: Path, name: str = NAME) -> tuple[int, int]:
    """What tells the socket there from its successors; (0, 0) while there is none."""
    try:
        seen = os.lstat(registry / f"{name}-reg.sock")
    except FileNotFoundError:
        return (0, 0)
    assert stat.S_ISSOCK(seen.st_mode)
    assert stat.S_IMODE(seen.st_mode) == 0o600
    return (seen.st_ino, seen.st_ctime_ns)


def is_found(registry: Path, *, other_than: tuple[int, int] = (0, 0), name: str = NAME) -> bool:
    return found(registry, name) not in ((0, 0), other_than)


def info(registry: Path, name: str = NAME) -> pb.PluginInfo:
    """GetInfo, as kubelet asks a socket it just found: once, and there is no second try."""
    with grpc.insecure_channel(f"unix://{registry}/{name}-reg.sock") as channel:
        return stubs.RegistrationStub(channel).GetInfo(pb.InfoRequest(), timeout=5)


def notify(registry: Path, *, error: str = "") -> None:
    """NotifyRegistrationStatus: taken, or refused with that error."""
    with grpc.insecure_channel(f"unix://{registry}/{NAME}-reg.sock") as channel:
        status = pb.RegistrationStatus(plugin_registered=not error, error=error)
        stubs.RegistrationStub(channel).NotifyRegistrationStatus(status, timeout=5)


def said(daemon: Daemon, event: str) -> list[dict[str, object]]:
    return [line for line in daemon.lines if line.get("event") == event]


def assert_answers(daemon: Daemon) -> None:
    """The process lives, and its Node service is there."""
    assert daemon.running
    with Stubs(daemon.endpoint) as to:
        assert to.node.NodeGetInfo(csi.NodeGetInfoRequest(), timeout=5).node_id == "node-a"


def test_the_csi_socket_answers_before_the_registration_socket_is_there(socket_path: Path, registry: Path) -> None:
    """Kubelet calls the CSI socket as soon as it finds the other (plugin registration): it must be answered then."""
    daemon = node(socket_path / "a", registry)
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(daemon.start)
        until(lambda: is_found(registry))
        assert_answers(daemon)
        assert info(registry).name == NAME
        starting.result()
    assert daemon.stop() == 0


@pytest.mark.parametrize("role", ["node", "all"])
def test_kubelet_is_told_name_version_and_endpoint(role: str, socket_path: Path, registry: Path) -> None:
    """A CSI plugin of version 1.0.0, by its driver name, at the path of its own socket."""
    with node(socket_path / "a", registry, role=role) as daemon:
        until(lambda: is_found(registry))
        expected = pb.PluginInfo(type="CSIPlugin", name=NAME, endpoint=str(daemon.socket), supported_versions=["1.0.0"])
        assert info(registry) == expected
        notify(registry)
        until(lambda: bool(said(daemon, "registered with kubelet")))


def test_the_endpoint_is_the_host_s_path_of_the_socket(socket_path: Path, registry: Path) -> None:
    """In a pod the directory may be mounted elsewhere: ``kubelet_endpoint`` says where kubelet finds it."""
    config = 'kubelet_endpoint = "unix:///var/lib/kubelet/plugins/h/csi.sock"'
    with node(socket_path / "a", registry, config=config):
        until(lambda: is_found(registry))
        assert info(registry).endpoint == "/var/lib/kubelet/plugins/h/csi.sock"


def test_after_a_refusal_there_is_a_new_socket(daemon: Daemon, registry: Path) -> None:
    """Kubelet tries again for a new socket; the process does not end, and serves on. Its error is in the log, at any length."""
    until(lambda: is_found(registry))
    first = found(registry)
    error = "plugin registration failed:\n" + "no handler " * 50
    notify(registry, error=error)
    until(lambda: is_found(registry, other_than=first), patience=2.0)
    assert_answers(daemon)
    (line,) = said(daemon, "kubelet refused")
    assert line["message"] == error
    assert info(registry).name == NAME


def test_each_refusal_is_waited_for_longer_until_kubelet_accepts(daemon: Daemon, registry: Path) -> None:
    """1 s, 2 s, ... 60 s: a kubelet that does not want us is not flooded; once it did, the count begins anew."""
    for error in ("no", "no", "", "no"):
        until(lambda: is_found(registry))
        before = found(registry)
        notify(registry, error=error)
        if error:
            until(lambda before=before: found(registry) != before)
    until(lambda: len(said(daemon, "kubelet refused")) == 3)
    assert [line["again_in_seconds"] for line in said(daemon, "kubelet refused")] == [1.0, 2.0, 1.0]


def test_a_removed_socket_comes_back(daemon: Daemon, registry: Path) -> None:
    """Whoever removed it: kubelet must find it when it reads its directory."""
    until(lambda: is_found(registry))
    (registry / f"{NAME}-reg.sock").unlink()
    until(lambda: is_found(registry))
    assert info(registry).name == NAME
    assert_answers(daemon)


def test_the_socket_comes_back_with_its_directory(daemon: Daemon, registry: Path) -> None:
    """A kubelet that was set up anew begins with an empty directory. Nothing is made while there is none."""
    until(lambda: is_found(registry))
    shutil.rmtree(registry)
    until(lambda: bool(said(daemon, "cannot offer to register")))
    assert not registry.exists()
    assert_answers(daemon)
    registry.mkdir()
    until(lambda: is_found(registry))
    assert info(registry).name == NAME
    assert os.listdir(registry) == [f"{NAME}-reg.sock"]


def test_two_drivers_register_in_one_directory(daemon: Daemon, socket_path: Path, registry: Path) -> None:
    """By their names; neither minds the other."""
    with node(socket_path / "b", registry, config='driver_name = "other.csi.dev"') as other:
        until(lambda: is_found(registry, name="other.csi.dev"))
        until(lambda: is_found(registry))
        assert info(registry, "other.csi.dev").endpoint == str(other.socket)
        assert info(registry).endpoint == str(daemon.socket)
        assert other.stop() == 0
        assert found(registry, "other.csi.dev") == (0, 0)
    assert info(registry).endpoint == str(daemon.socket)


def test_a_live_driver_s_socket_is_not_taken(daemon: Daemon, socket_path: Path, registry: Path) -> None:
    """A second one of the same name says whose it is, serves, and registers once the first has ended."""
    until(lambda: is_found(registry))
    with node(socket_path / "b", registry) as second:
        until(lambda: bool(said(second, "cannot offer to register")))
        assert f"process {daemon.pid} serves there" in str(said(second, "cannot offer to register")[0]["message"])
        assert info(registry).endpoint == str(daemon.socket)
        assert daemon.stop() == 0
        until(lambda: is_found(registry))
        assert info(registry).endpoint == str(second.socket)


def test_sigterm_removes_the_socket_and_nothing_stays(daemon: Daemon, registry: Path) -> None:
    """Kubelet sends nobody to a process that ends."""
    until(lambda: is_found(registry))
    assert daemon.stop() == 0
    assert os.listdir(registry) == []


def test_a_successor_of_a_killed_driver_replaces_its_socket(daemon: Daemon, registry: Path) -> None:
    """kill -9 leaves the socket there; kubelet has to notice that there is another."""
    until(lambda: is_found(registry))
    first = found(registry)
    daemon.kill()
    assert found(registry) == first
    daemon.start()
    until(lambda: is_found(registry, other_than=first))
    assert info(registry).name == NAME
    assert os.listdir(registry) == [f"{NAME}-reg.sock"]


def test_a_pool_that_hangs_does_not_keep_kubelet_from_the_others(socket_path: Path, registry: Path, fuse: Fuse) -> None:
    """A node that starts while a pool hangs, known from before or not, registers in time; the other pool's volumes are
    unpublished and published, and the hung one's are UNAVAILABLE, not gone, until it answers."""
    config = f'[[pool]]\nname = "hung"\nbackend = "directory"\npath = "{fuse.mount}"\n'
    daemon = node(socket_path / "a", registry, config=config, role="all").start()
    with Stubs(daemon.endpoint) as to:
        well, hung = _create(to, "w", "a"), _create(to, "h", "hung")
        _publish(to, well, socket_path / "target")
    daemon.kill()
    for is_known in (True, False):
        if not is_known:
            (daemon.state / "pools.json").unlink()
        os.kill(fuse.pid, signal.SIGSTOP)
        began = time.monotonic()
        daemon.start()
        until(lambda: info_name(registry) == NAME)
        assert time.monotonic() - began < 12
        with Stubs(daemon.endpoint) as to:
            request = csi.NodeUnpublishVolumeRequest(volume_id=well, target_path=str(socket_path / "target"))
            to.node.NodeUnpublishVolume(request, timeout=10)
            _publish(to, well, socket_path / "target")
            with pytest.raises(grpc.RpcError) as refused:
                to.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=hung), timeout=10)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            os.kill(fuse.pid, signal.SIGCONT)
            until(lambda to=to: _is_there(to, hung), patience=40)
        if is_known:
            daemon.kill()
    with Stubs(daemon.endpoint) as to:
        request = csi.NodeUnpublishVolumeRequest(volume_id=well, target_path=str(socket_path / "target"))
        to.node.NodeUnpublishVolume(request, timeout=10)
        unstage = csi.NodeUnstageVolumeRequest(volume_id=well, staging_target_path=str(socket_path / "staging"))
        to.node.NodeUnstageVolume(unstage, timeout=10)
    assert daemon.stop() == 0


def test_a_pool_that_is_broken_does_not_keep_kubelet_from_the_others(socket_path: Path, registry: Path) -> None:
    """Its ledger damaged: the node registers, the other pool serves, and the pool is shown with what is wrong. Where kubelet
    does not depend on it, the start is refused with that."""
    broken = socket_path / "broken"
    broken.mkdir()
    config = f'[[pool]]\nname = "broken"\nbackend = "directory"\npath = "{broken}"\n'
    with node(socket_path / "a", registry, config=config, role="all") as daemon:
        with Stubs(daemon.endpoint) as to:
            _create(to, "b", "broken")
        assert daemon.stop() == 0
        ledger = broken / ".holdall" / "ledger.db"
        ledger.write_bytes(b"no ledger " * 1000)
        daemon.start()
        until(lambda: info_name(registry) == NAME)
        with Stubs(daemon.endpoint) as to:
            assert _create(to, "w", "a")
            pools = {pool.name: pool for pool in to.holdall.ListPools(holdall.ListPoolsRequest(), timeout=10).pools}
            assert [pools[name].state for name in ("a", "broken")] == ["ready", "unreachable"]
            with pytest.raises(grpc.RpcError) as refused:
                _create(to, "b", "broken")
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "ledger" in (refused.value.details() or "")
        assert daemon.stop() == 0
    with pytest.raises(RuntimeError, match="ledger"):
        Daemon(socket_path / "a", config=(socket_path / "a" / "holdall.toml").read_text()).start()


def info_name(registry: Path) -> str:
    try:
        return info(registry).name
    except grpc.RpcError:
        return ""


def _publish(to: Stubs, volume_id: str, target: Path) -> None:
    staging = target.parent / "staging"
    staging.mkdir(exist_ok=True)
    to.node.NodeStageVolume(
        csi.NodeStageVolumeRequest(
            volume_id=volume_id, staging_target_path=str(staging), volume_capability=capability()
        ),
        timeout=10,
    )
    to.node.NodePublishVolume(
        csi.NodePublishVolumeRequest(
            volume_id=volume_id,
            staging_target_path=str(staging),
            target_path=str(target),
            volume_capability=capability(),
        ),
        timeout=10,
    )


def _create(to: Stubs, name: str, pool: str) -> str:
    request = csi.CreateVolumeRequest(name=name, volume_capabilities=[capability()], parameters={"pool": pool})
    return to.controller.CreateVolume(request, timeout=10).volume.volume_id


def _is_there(to: Stubs, volume_id: str) -> bool:
    try:
        found = _create(to, "h", "hung")
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        return False
    return found == volume_id
