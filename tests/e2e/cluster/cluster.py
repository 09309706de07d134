"""The whole cluster, as tests handle it."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import binaries, cgroups, images, snapshots
from .control_plane import ApiServer
from .credentials import kubeconfig
from .network import Network
from .node import Node

ROOT = Path(__file__).parents[3]
DEFAULT = ROOT / "out" / "cluster"
_CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "snapshot-controller", "dns")
# A mount of the node's own hides what lies below these.
_HIDDEN = ("/run/", "/var/run/", "/var/lib/", "/var/log/", "/srv/", "/proc/", "/sys/", "/dev/")


class Cluster:
    """Kubernetes with ``nodes`` nodes whose whole state lies in ``directory``; the same object in any process.

    ``nodes``, ``api`` and ``network`` are of the cluster that is up, whoever started it.
    """

    def __init__(self, directory: Path = DEFAULT, nodes: int = 2) -> None:
        self.directory = directory.absolute()
        if str(self.directory).startswith(_HIDDEN):
            raise ValueError(
                f"{self.directory} cannot hold a cluster: nodes have a {self.directory.parts[1]} of their own"
            )
        self._facts = self.directory / "cluster.json"
        if self._facts.exists():
            known = json.loads(self._facts.read_text())
            self.network, nodes = Network(known["number"], known["label"]), known["nodes"]
        else:
            self.network = Network.free(self.directory)
        self.api = ApiServer(
            self.directory, address=self.network.api, flags=("--max-requests-inflight=1000",), end_with_parent=False
        )
        self.processes = self.api.processes
        self.nodes = [Node(self.directory, self.network, index + 1, nodes) for index in range(nodes)]

    def up(self) -> "Cluster":
        """Every node is Ready; the snapshot controller and a name server run; the sidecars', busybox' and pause images
        are on every node.

        RuntimeError when it is up already; what a failure leaves, `down` removes.
        """
        if self._facts.exists():
            raise RuntimeError(f"{self.directory} holds a cluster already; end it with `down`")
        binaries.ensure()
        archives = self._archives()
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = {"number": self.network.number, "label": self.network.label, "nodes": len(self.nodes)}
        self._facts.write_text(json.dumps(facts))
        self.network.up()
        for node in self.nodes:
            node.up()
        with ThreadPoolExecutor() as pool:
            loading = [pool.submit(self._load, node, archives) for node in self.nodes]
            self.api.start()
            for name in ("kube-controller-manager", "kube-scheduler", "dns"):
                self.start(name)
            for node in self.nodes:
                node.join(self.api.url)
            self.kubectl("apply", "--server-side", *(f"--filename={file}" for file in snapshots.definitions()))
            self.start("snapshot-controller")
            for done in loading:
                done.result()
        self.kubectl("wait", "--for=condition=Ready", "--timeout=90s", "node", *(node.name for node in self.nodes))
        self.wait_for(
            lambda: "default" in self.kubectl("get", "serviceaccounts", "--output=name"), "the default account"
        )
        return self

    def down(self) -> None:
        """Nothing of it is left on the machine, the directory included. Safe for one that is half up, or not at all."""
        if not self._facts.exists():
            return
        for name in _CONTROLLERS:
            self.processes.stop(name, how=signal.SIGKILL)
        for node in self.nodes:
            node.down()
        self.api.stop()
        self.network.down()
        cgroups.remove(self.network.label)
        shutil.rmtree(self.directory)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120.0) -> str:
        """What kubectl printed. RuntimeError with what it said when it fails, TimeoutExpired when it does not end."""
        done = subprocess.run(
            [binaries.directory() / "kubectl", f"--kubeconfig={self.api.kubeconfig}", *arguments],
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *objects: str | Mapping[str, object]) -> None:
        """Each object, as YAML text (of one or several) or as a mapping, is in the cluster."""
        for one in objects:
            self.kubectl("apply", "--filename=-", stdin=one if isinstance(one, str) else json.dumps(one))

    def get(self, *arguments: str) -> dict[str, object]:
        """``kubectl get ARGUMENTS`` as the API's object."""
        found: dict[str, object] = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return found

    def helm(self, *arguments: str, timeout: float = 300.0) -> str:
        """What helm printed. RuntimeError with what it said when it fails."""
        done = subprocess.run(
            [self.helm_path, f"--kubeconfig={self.api.kubeconfig}", *arguments],
            env={"HOME": str(self.directory), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    @property
    def helm_path(self) -> Path:
        return binaries.ensure(["helm"]) / "helm"

    @property
    def audit_log(self) -> Path:
        """Every request the API served, a line of JSON each, without bodies."""
        return self.api.audit_log

    def node(self, name: str) -> Node:
        """KeyError when no node is called so."""
        return {node.name: node for node in self.nodes}[name]

    def wait_for(self, true: Callable[[], object], what: str, patience: float = 60.0) -> None:
        """``true()`` is true. RuntimeError saying that ``what`` did not come, and why the last try failed."""
        ends = time.monotonic() + patience
        last = ""
        while True:
            try:
                if true():
                    return
            except RuntimeError as error:
                last = f": {error}"
            if time.monotonic() > ends:
                raise RuntimeError(f"{what} did not come in {patience:.0f} s{last}")
            time.sleep(0.2)

    def load_image(self, archive: Path, nodes: Sequence[str] = ()) -> None:
        """The archive's image is on the nodes named, or on all; pods name it as `image_from_directory` was told."""
        with ThreadPoolExecutor() as pool:
            chosen = [node for node in self.nodes if not nodes or node.name in nodes]
            for done in [pool.submit(node.load_image, archive) for node in chosen]:
                done.result()

    def start(self, name: str) -> None:
        """``kube-controller-manager``, ``kube-scheduler``, ``snapshot-controller`` or ``dns`` runs."""
        self.processes.start(name, self._controller(name), {"PYTHONPATH": str(ROOT)})

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """It runs no more. Programs of a node: `Node.stop` and `Node.start`."""
        self.processes.stop(name, how=how)

    @contextlib.contextmanager
    def api_away(self) -> Iterator[None]:
        """Nobody listens at the API's address within the block; afterwards it is ready again."""
        self.processes.stop("kube-apiserver", how=signal.SIGKILL)
        try:
            yield
        finally:
            self.api.start()

    @contextlib.contextmanager
    def api_hung(self) -> Iterator[None]:
        """The API takes connections within the block and answers none."""
        self.processes.signal("kube-apiserver", signal.SIGSTOP)
        try:
            yield
        finally:
            self.processes.signal("kube-apiserver", signal.SIGCONT)
            self.api.wait_ready()

    @contextlib.contextmanager
    def cut_off(self, name: str) -> Iterator[None]:
        """The node has no network within the block; its pods run on."""
        index = self.node(name).index
        self.network.cut(index)
        try:
            yield
        finally:
            self.network.mend(index)

    def _controller(self, name: str) -> list[str]:
        if name == "dns":
            return [sys.executable, "-m", "tests.e2e.cluster.dns", str(self.directory), self.network.api]
        config = self.directory / f"{name}.kubeconfig"
        if not config.exists():
            kubeconfig(self.directory, self.api.url, name)
        if name == "snapshot-controller":
            return snapshots.controller(config)
        # Served to nobody, so that no port has to be free.
        program = [
            str(binaries.directory() / name),
            f"--kubeconfig={config}",
            "--leader-elect=false",
            "--secure-port=0",
        ]
        rates = ("--kube-api-qps=300", "--kube-api-burst=600")
        if name == "kube-scheduler":
            return [*program, *rates]
        pki = self.directory / "pki"
        return [
            *(*program, *rates, "--use-service-account-credentials=true", f"--root-ca-file={pki / 'ca.crt'}"),
            f"--service-account-private-key-file={pki / 'accounts.key'}",
            # It makes this directory, by default in the machine's /usr/libexec.
            f"--flex-volume-plugin-dir={self.directory / 'flex'}",
        ]

    def _archives(self) -> list[Path]:
        place = binaries.directory().parent / "images"
        return [images.pause(place), images.busybox(place), *(images.sidecar(place, name) for name in images.SIDECARS)]

    def _load(self, node: Node, archives: Sequence[Path]) -> None:
        for archive in archives:
            node.load_image(archive)
