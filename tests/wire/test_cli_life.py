"""The life of a serving process: ready, ended cleanly, ended at once, killed, split into roles, and pools changing hands."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from csi.v1 import csi_pb2 as csi
from driver.cli.demo.sweep import left_in
from tests.daemon import Daemon, Stubs
from tests.fuse import Fuse

from .command import Holdall, directory, holdall, hung

__all__ = ["directory", "holdall", "hung"]

MIB = 1 << 20


def request(name: str, pool: str = "") -> csi.CreateVolumeRequest:
    made = csi.CreateVolumeRequest(name=name, parameters={"pool": pool} if pool else {})
    made.capacity_range.required_bytes = 4 * MIB
    capability = made.volume_capabilities.add()
    capability.mount.SetInParent()
    capability.access_mode.mode = csi.VolumeCapability.AccessMode.SINGLE_NODE_WRITER
    return made


def pool(path: Path, name: str = "a", backend: str = "directory") -> str:
    path.mkdir(exist_ok=True)
    return f'[[pool]]\nname = "{name}"\nbackend = "{backend}"\npath = "{path}"\n'


def test_one_line_says_that_it_is_ready_and_what_it_is(directory: Path) -> None:
    """Event ``ready``, once, with names and places; the metrics port is served by then."""
    with Daemon(directory, options=["--metrics-address", "127.0.0.1:0"]) as daemon:
        (ready,) = [line for line in daemon.lines if line["event"] == "ready"]
        assert ready["driver_name"] == "holdall.csi.dev"
        assert (ready["node_id"], ready["endpoint"]) == ("node-a", daemon.endpoint)
        assert ready["pools"] == ["default"]
        assert ready["pid"] == daemon.pid
        assert ready["metrics_port"] > 0
        assert daemon.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(directory: Path, number: signal.Signals) -> None:
    """Exit code 0, the socket gone, the pool's own filesystem unmounted and its device free."""
    with Daemon(directory) as daemon:
        assert any(left_in(directory))
        daemon.signal(number)
        assert daemon.wait() == 0
        assert daemon.lines[-1]["event"] == "stopped"
    assert not daemon.socket.exists()
    assert left_in(directory) == ([], [])


def test_creates_under_way_are_finished_before_it_ends(directory: Path, holdall: Holdall) -> None:
    """SIGTERM amid many creates: each is answered or refused, and what was answered is there after the next start."""
    with Daemon(directory) as daemon:
        with Stubs(daemon.endpoint) as stubs, ThreadPoolExecutor(16) as callers:
            calls = [
                callers.submit(stubs.controller.CreateVolume, request(f"v{number}"), timeout=30) for number in range(60)
            ]
            calls[5].result()
            daemon.signal(signal.SIGTERM)
            failures = [call.exception() for call in calls]
        assert daemon.wait() == 0
        answered = {call.result().volume.volume_id for call, failed in zip(calls, failures, strict=True) if not failed}
        codes = {failed.code() for failed in failures if isinstance(failed, grpc.RpcError)}
        assert answered
        assert codes <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}, "which say: try again"
        daemon.start()
        assert answered <= {row["id"] for row in holdall.json("volume", "list")}
        assert holdall("doctor").out == ""
        assert daemon.stop() == 0


def test_a_killed_driver_comes_back_with_everything(directory: Path, holdall: Holdall) -> None:
    """kill -9: mounts go on, volumes and snapshots are there, and what was mounted can be unmounted by the next one."""
    target = directory / "data"
    with Daemon(directory) as daemon:
        holdall.well("volume", "create", "data", "--size", "16MiB")
        holdall.well("mount", "data", target)
        (target / "file").write_text("kept")
        holdall.well("snapshot", "create", "data", "cut")
        daemon.kill()
        assert (target / "file").read_text() == "kept"
        daemon.start()
        assert holdall.json("volume", "show", "data")["targets"] == [str(target)]
        assert [row["name"] for row in holdall.json("snapshot", "list")] == ["cut"]
        assert holdall("doctor").out == ""
        holdall.well("umount", "data")
        holdall.well("snapshot", "delete", "cut")
        holdall.well("volume", "delete", "data")
        assert daemon.stop() == 0


def test_a_second_signal_ends_it_at_once(directory: Path, hung: Fuse) -> None:
    """The first waits for a create that a hung store holds up; the second waits for nothing."""
    mount, pid, _ = hung
    with Daemon(directory, config=pool(mount)) as daemon:
        os.kill(pid, signal.SIGSTOP)
        with Stubs(daemon.endpoint) as stubs:
            call = stubs.controller.CreateVolume.future(request("stuck"), timeout=30)
            time.sleep(0.5)
            assert not call.done()
            daemon.signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                daemon.wait(1.0)
            daemon.signal(signal.SIGTERM)
            assert daemon.wait(5.0) == 128 + signal.SIGTERM
            call.cancel()


def test_it_can_be_ended_while_a_pool_keeps_it_from_starting(directory: Path, hung: Fuse) -> None:
    """SIGTERM before the ready line: no mutation can be under way, so it ends at once and cleanly."""
    mount, pid, _ = hung
    daemon = Daemon(directory, config=pool(mount))
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as starter:
        starting = starter.submit(daemon.start)
        until = time.monotonic() + 20
        while not daemon.socket.exists():
            assert time.monotonic() < until, "it does not listen"
            time.sleep(0.02)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(8.0) == 0, daemon.output()
        assert isinstance(starting.exception(), RuntimeError)


def test_a_pool_of_another_state_directory_is_adopted_with_its_volumes(directory: Path, holdall: Holdall) -> None:
    """Not while its owner lives, who is named; then with everything in it, beside the default pool, and for good."""
    text = pool(directory / "disk", "disk", "directory")
    with Daemon(directory / "old", config=text, node_id="node-old") as old:
        endpoint = ("--endpoint", old.endpoint)
        holdall.well("volume", "create", "kept", "--size", "1MiB", *endpoint)
        with Daemon(directory) as new:
            assert "node node-old" in holdall.refused("pool", "adopt", directory / "disk")
            assert old.stop() == 0
            assert holdall.well("pool", "adopt", directory / "disk", "--name", "moved") == (
                "Pool moved is in use, with 1 volumes and 0 snapshots.\n"
            )
            assert [row["name"] for row in holdall.json("volume", "list", "--pool", "moved")] == ["kept"]
            assert new.stop() == 0
            new.start()
            assert sorted(row["name"] for row in holdall.json("pool", "list")) == ["default", "moved"]
            assert "holds no pool" in holdall.refused("pool", "adopt", directory / "new")
            assert "cannot be the name of a pool" in holdall.refused(
                "pool", "adopt", directory / "disk", "--name", "../x"
            )
            assert new.stop() == 0


def test_commands_work_through_a_controller_and_a_node(directory: Path, holdall: Holdall) -> None:
    """Names at the controller, mounts at the node's own socket, which answers nothing else."""
    node_socket = f"unix://{directory}/node/csi.sock"
    offered = f"unix://{directory}/offered.sock"
    node = Daemon(directory / "node", role="node", options=["--controller-endpoint", offered])
    nodes = f'[[node]]\nname = "node-a"\nendpoint = "{offered}"\n'
    with node, Daemon(directory, role="controller", config=nodes) as controller:
        at_node = ("--node-endpoint", node_socket)
        target = directory / "data"
        holdall.well("volume", "create", "data", "--size", "16MiB")
        holdall.well("mount", "data", target, *at_node)
        assert os.path.ismount(target)
        assert holdall.json("stats", "data", *at_node)[0]["path"] == str(target)
        assert "is not served on this socket" in holdall.refused("volume", "list", "--endpoint", node_socket)
        holdall.well("umount", "data", *at_node)
        holdall.well("volume", "delete", "data")
        assert controller.stop() == 0
        assert node.stop() == 0


def test_copies_are_waited_for_where_extents_cannot_be_shared(directory: Path, holdall: Holdall) -> None:
    """A snapshot is ready and a clone is complete when the command comes back, whatever the pool had to do for it."""
    content = os.urandom(24 * MIB)
    with Daemon(directory, config=pool(directory / "pool", backend="image")) as daemon:
        holdall.well("volume", "create", "source", "--size", "32MiB", "--block")
        holdall.well("mount", "source", directory / "source", "--block")
        with (directory / "source").open("r+b") as device:
            device.write(content)
        holdall.well("umount", "source")
        assert holdall.json("snapshot", "create", "source", "cut")["ready"] is True
        holdall.well("volume", "create", "clone", "--block", "--from", "source")
        holdall.well("volume", "create", "restored", "--block", "--from", "cut")
        for name in ("clone", "restored"):
            holdall.well("mount", name, directory / name, "--block")
            with (directory / name).open("rb") as device:
                assert device.read(len(content)) == content
            holdall.well("umount", name)
        assert holdall("doctor").out == ""
        assert daemon.stop() == 0
