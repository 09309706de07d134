"""Container images as docker-archive tars, written by hand: no engine builds them and no registry has them."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from . import binaries
from .node import PAUSE

BUSYBOX = "holdall.test/busybox:1"
SUITE_REGISTRY = "holdall.test/suite"
_PATH = ["PATH=/bin:/"]
_SLEEP = ["/bin/sh", "-c", "while :; do sleep 100000 & wait; done"]
SIDECARS = {name: f"holdall.test/{name}:{version}" for name, version in binaries.SIDECARS.items()}
VALUES = {"sidecars": {name: {"image": SIDECARS[f"csi-{name}"]} for name in ("provisioner", "snapshotter", "resizer")}}
"""Values for Holdall's chart: the sidecars' images as they are called here. No attacher: Holdall needs none."""

Config = Mapping[str, object]
"""The ``config`` of an OCI image: Entrypoint, Cmd, Env, User, WorkingDir …"""


def image_from_directory(rootfs: Path, name: str, config: Config, archive: Path) -> Path:
    """``archive``: an image called ``name`` whose one layer is the tree ``rootfs``, owners and modes as they are.

    Load it with `Cluster.load_image`. The file appears whole or not at all.
    """
    with TemporaryDirectory(dir=archive.parent, prefix=".image-") as scratch:
        layer = Path(scratch) / "layer.tar"
        with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(rootfs, arcname=".", recursive=True)
        with layer.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        image = json.dumps(
            {
                "architecture": os.environ.get("GOARCH") or _architecture(),
                "os": "linux",
                "config": dict(config),
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }
        ).encode()
        identity = f"{hashlib.sha256(image).hexdigest()}.json"
        manifest = json.dumps([{"Config": identity, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
        (Path(scratch) / identity).write_bytes(image)
        (Path(scratch) / "manifest.json").write_bytes(manifest)
        whole = Path(scratch) / "whole.tar"
        with tarfile.open(whole, "w") as tar:
            for part in ("manifest.json", identity, "layer.tar"):
                tar.add(Path(scratch) / part, arcname=part)
        whole.rename(archive)
    return archive


def busybox(directory: Path) -> Path:
    """A shell and its tools at their usual places."""
    return _made(directory, BUSYBOX, _busybox_tree, {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]})


def pause(directory: Path) -> Path:
    """What a pod's namespaces belong to: it sleeps, and reaps where a pod shares one process namespace."""
    return _made(directory, PAUSE, _busybox_tree, {"Entrypoint": _SLEEP})


def sidecar(directory: Path, name: str) -> Path:
    """One of the Kubernetes project's sidecars at ``/NAME``, as their own images have it."""
    return _made(directory, SIDECARS[name], lambda root: _program(root, name), {"Entrypoint": [f"/{name}"]})


def suite(directory: Path) -> list[Path]:
    """What Kubernetes' storage suite runs, under the names and versions of its own list (test/utils/image)."""
    serve = "mkdir -p /www && echo welcome >/www/index.html && exec httpd -f -p 80 -h /www"
    return [
        _made(directory, f"{SUITE_REGISTRY}/busybox:1.37.0-1", _busybox_tree, {"Cmd": ["/bin/sh"], "Env": _PATH}),
        _made(directory, f"{SUITE_REGISTRY}/glibc-dns-testing:2.0.0", _glibc_tree, {"Cmd": ["/bin/sh"], "Env": _PATH}),
        _made(directory, f"{SUITE_REGISTRY}/pause:3.10.2", _busybox_tree, {"Entrypoint": _SLEEP, "Env": _PATH}),
        # Only whether it runs and can be entered is tested.
        *(
            _made(
                directory,
                f"{SUITE_REGISTRY}/nginx:{version}",
                _busybox_tree,
                {"Cmd": ["sh", "-c", serve], "Env": _PATH},
            )
            for version in ("1.15-4", "1.27-0")
        ),
        _made(
            directory,
            f"{SUITE_REGISTRY}/agnhost:2.63.0",
            _agnhost_tree,
            {"Entrypoint": ["/agnhost"], "Cmd": ["pause"], "Env": _PATH},
        ),
    ]


def _agnhost_tree(root: Path) -> None:
    _busybox_tree(root)
    _program(root, "agnhost")
    # The suite asks for `nsenter --mount=FILE`, and busybox knows only short options.
    nsenter = root / "bin" / "nsenter"
    nsenter.unlink()
    nsenter.write_text('#!/bin/sh\nmount=${1#--mount=}\nshift\nexec /bin/busybox nsenter "-m$mount" "$@"\n')
    nsenter.chmod(0o755)


def _glibc_tree(root: Path) -> None:
    """The suite writes raw blocks past the cache (`dd oflag=nocache`), which busybox cannot; and its shell would run its
    own dd wherever another lies."""
    _busybox_tree(root)
    for name, source in (("dd", Path("/bin/dd")), ("sh", Path("/bin/dash"))):
        (root / "bin" / name).unlink()
        shutil.copy(source, root / "bin" / name)
        said = subprocess.run(["ldd", source], capture_output=True, text=True, check=True).stdout
        for library in (Path(word) for word in said.split() if word.startswith("/")):
            place = root / library.relative_to("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)


def _made(directory: Path, name: str, fill: Callable[[Path], None], config: Config) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    archive = directory / f"{name.replace('/', '_').replace(':', '_')}.tar"
    if not archive.exists():
        with TemporaryDirectory(dir=directory, prefix=".root-") as scratch:
            root = Path(scratch)
            root.chmod(0o755)
            fill(root)
            image_from_directory(root, name, config, archive)
    return archive


def _program(root: Path, name: str) -> None:
    shutil.copy2(binaries.ensure([name]) / name, root / name)


def _busybox_tree(root: Path) -> None:
    program = shutil.which("busybox")
    if program is None:
        raise RuntimeError("no busybox on PATH; install busybox-static")
    for directory in ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var"):
        (root / directory).mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "usr" / "bin").symlink_to("../bin")
    shutil.copy2(program, root / "bin" / "busybox")
    for applet in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (root / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
