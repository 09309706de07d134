"""The image's root filesystem, built as ``deploy/image/rootfs.sh`` does without a container engine, and run.

Its Debian part and its locked packages are kept between runs (some two minutes when they are not there yet).
"""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import chart

IMAGE = chart.ROOT / "deploy" / "image"
PROGRAMS = ("mkfs.ext4", "resize2fs", "tune2fs", "e2fsck", "mkfs.xfs", "xfs_growfs", "xfs_admin", "xfs_repair")
MORE_PROGRAMS = ("mkfs.btrfs", "btrfs", "btrfstune", "blkid", "losetup", "mount", "umount", "fusermount3", "openssl")
OFFERED = "unix:///run/holdall/controller.sock"
MEGABYTES = 400
"""What the image may have, uncompressed; docs/kubernetes.md says what it has."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("image") / "root"
    done = subprocess.run(
        ["sh", str(IMAGE / "rootfs.sh"), str(place)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    yield place
    shutil.rmtree(place)


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """In the root filesystem, with the environment that the image has."""
    environment = dict(one.split("=", 1) for one in json.loads((IMAGE / "config.json").read_text())["Env"])
    return subprocess.run(
        ["chroot", str(root), *command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )  # fmt: skip


def test_the_command_runs(root: Path) -> None:
    """``holdall`` is found by its name and knows its version."""
    done = run(root, "holdall", "version", "--json")
    assert done.returncode == 0, done.stderr
    version = re.search(r'^version = "(.*)"$', (chart.ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert json.loads(done.stdout)["version"] == version[1]


def test_every_program_the_driver_calls_starts(root: Path) -> None:
    """Found, and with all its libraries: what was taken out of the image was needed by none of them."""
    for program in (*PROGRAMS, *MORE_PROGRAMS):
        found = run(root, "sh", "-c", f"command -v {program}").stdout.strip()
        assert found, program
        assert "not found" not in run(root, "ldd", found).stdout, program


def test_all_of_ours_is_compiled(root: Path) -> None:
    """Start-up is a budget, and a read-only root could not be compiled later."""
    site = root / "opt/holdall/lib/python3.11/site-packages"
    for package in ("driver", "csi", "grpc", "msgspec"):
        for source in (site / package).rglob("*.py"):
            assert (source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc").exists(), source


def test_nothing_of_ours_can_be_changed_by_others(root: Path) -> None:
    """All of it belongs to root, and only root could write it."""
    for path in (root / "opt/holdall", *(root / "opt/holdall").rglob("*")):
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (0, 0), path
        if not stat.S_ISLNK(found.st_mode):
            assert not found.st_mode & 0o022, path


def test_it_holds_only_what_runs(root: Path) -> None:
    """No package manager, no compiler, no manuals, no tests; within its size."""
    for gone in ("usr/bin/apt-get", "usr/bin/gcc", "usr/bin/pip", "usr/share/man/man8", "etc/resolv.conf"):
        assert not (root / gone).exists(), gone
    assert not list((root / "opt/holdall").rglob("tests"))
    said = subprocess.run(["du", "-sm", str(root)], capture_output=True, text=True, check=True).stdout
    assert int(said.split()[0]) <= MEGABYTES


def test_a_node_serves_on_a_read_only_root(root: Path, tmp_path: Path) -> None:
    """What the pod mounts is all it writes to: ready, and ended by SIGTERM."""
    with Pod(root, tmp_path) as place:
        log = tmp_path / "log"
        with log.open("w") as out:
            node = subprocess.Popen(
                ["chroot", str(place), "holdall", "node", "--node-id", "a", "--controller-endpoint", OFFERED],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        try:
            deadline = time.monotonic() + 60
            while '"ready"' not in log.read_text() and node.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert '"ready"' in log.read_text(), log.read_text()
            assert "default" in run(place, "holdall", "pool", "list", "--endpoint", OFFERED).stdout
            with pytest.raises(OSError, match="Read-only"):
                (place / "opt/holdall/x").touch()
        finally:
            node.send_signal(signal.SIGTERM)
            assert node.wait(30) == 0


class Pod:
    """The root filesystem read-only at a place of its own, with the pod's mounts; all gone afterwards."""

    def __init__(self, root: Path, place: Path) -> None:
        self._root = root
        self._at = place / "pod"
        self._state = place / "state"

    def __enter__(self) -> Path:
        self._at.mkdir()
        self._state.mkdir()
        self._mount("--bind", str(self._root), str(self._at))
        self._mount("-o", "remount,bind,ro", str(self._at))
        self._mount("--rbind", "/dev", f"{self._at}/dev")
        self._mount("-t", "proc", "proc", f"{self._at}/proc")
        self._mount("-t", "sysfs", "sysfs", f"{self._at}/sys")
        self._mount("--bind", str(self._state), f"{self._at}/var/lib/holdall")
        for place in ("tmp", "run/holdall"):
            self._mount("-t", "tmpfs", "tmpfs", f"{self._at}/{place}")
        return self._at

    def __exit__(self, *_: object) -> None:
        # Recursively: the default pool may have mounted its own filesystem in the state directory.
        subprocess.run(["umount", "--recursive", str(self._at)], check=True)
        assert not os.listdir(self._at)

    @staticmethod
    def _mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True)


def test_the_dockerfile_reads_the_same_lists() -> None:
    """What decides about the content stands in deploy/image alone."""
    dockerfile = (chart.ROOT / "Dockerfile").read_text()
    for name in ("packages", "dpkg.cfg", "prune.sh", "application.sh"):
        assert f"/image/{name}" in dockerfile
        assert name in (IMAGE / "rootfs.sh").read_text()
    assert dockerfile.count("apt-get install") == 2  # the list, and what only builds
    assert "requirements-run.lock" in dockerfile


def test_the_image_runs_as_the_dockerfile_says() -> None:
    """config.json, with which the root filesystem becomes an image in the tests, says the same."""
    config = json.loads((IMAGE / "config.json").read_text())
    dockerfile = re.sub(r"\s*\\\n\s*", " ", (chart.ROOT / "Dockerfile").read_text())
    last = dockerfile.rsplit("\nFROM ", 1)[1]
    said = dict(re.findall(r"^(ENV|STOPSIGNAL|ENTRYPOINT|CMD) (.*)$", last, re.MULTILINE))
    assert config["Env"] == said["ENV"].split()
    assert config["StopSignal"] == said["STOPSIGNAL"]
    assert config["Entrypoint"] == json.loads(said["ENTRYPOINT"])
    assert config["Cmd"] == json.loads(said["CMD"])
