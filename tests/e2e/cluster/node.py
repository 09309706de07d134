"""A node: kubelet, containerd and kube-proxy in namespaces of their own, so that each looks like a machine."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from . import binaries, cgroups
from .credentials import kubeconfig
from .dns import DOMAIN
from .network import Network
from .processes import Processes, child_of

_INITIAL = Path(__file__).with_name("node.sh")
PRIVATE = ("/var/lib/", "/srv/", "/run/", "/var/log/")
"""What a node has of its own in its mount namespace; everything else is the machine's."""
PAUSE = "holdall.test/pause:1"


class Node:
    """Node ``index`` (from 1) of the cluster in ``directory``; kubelet's root is /var/lib/kubelet in every node.

    Its state lies in ``directory/node-INDEX``. Programs of the node see only the node's processes.
    """

    def __init__(self, directory: Path, network: Network, index: int, count: int) -> None:
        self.name = f"node-{index}"
        self.index = index
        self.directory = directory / self.name
        self.address = network.address(index)
        self.processes = Processes(directory)
        self._cluster = directory
        self._network = network
        self._count = count
        self.cgroup = f"{network.label}/{self.name}"

    @property
    def pid(self) -> int:
        """The node's first process, as the machine numbers it: ``nsenter -t PID -m -n -p`` enters the node.

        RuntimeError when the node is not up.
        """
        pid = self.processes.pid(self.name)
        if pid is None:
            raise RuntimeError(f"{self.name} is not up")
        return pid

    @property
    def root(self) -> Path:
        """The node's root directory as it sees it, seen from here (proc(5), /proc/PID/root)."""
        return Path(f"/proc/{self.pid}/root")

    def up(self) -> None:
        """The machine is there, wired, with containerd answering; no kubelet yet."""
        self.directory.mkdir(parents=True, exist_ok=True)
        cgroups.make(self.cgroup)
        spaces = ("--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc")
        command = ("unshare", *spaces, "--propagation=private", "sh", _INITIAL, self.name, self.directory)
        outer = self.processes.start(self.name, command)
        self.processes.record(self.name, child_of(outer))
        _eventually(lambda: (self.root / "run/node-ready").exists(), f"{self.name}: {self.processes.tail(self.name)}")
        self._network.attach(self.index, self.pid, self._count)
        (self.directory / "cni").mkdir(exist_ok=True)
        (self.directory / "cni" / "10-pods.conflist").write_text(json.dumps(self._cni()))
        (self.directory / "containerd.toml").write_text(self._containerd())
        self.start("containerd")
        socket = self.root / "run/containerd/containerd.sock"
        _eventually(socket.exists, f"{self.name}: no containerd: {self.processes.tail(self._process('containerd'))}")

    def join(self, url: str) -> None:
        """kubelet and kube-proxy run and speak to the API at ``url``."""
        for name in (f"kubelet-{self.name}", "kube-proxy"):
            if not (self._cluster / f"{name}.kubeconfig").exists():
                kubeconfig(self._cluster, url, name)
        (self.directory / "kubelet.yaml").write_text(json.dumps(self._kubelet()))
        self.start("kubelet")
        self.start("kube-proxy")

    def start(self, program: str) -> None:
        """``kubelet``, ``containerd`` or ``kube-proxy`` runs."""
        name = self._process(program)
        outer = self.processes.start(name, self.enter(*self._command(program)))
        self.processes.record(name, child_of(outer))

    def stop(self, program: str, how: signal.Signals = signal.SIGTERM) -> None:
        """It does not run; its pods do."""
        self.processes.stop(self._process(program), how=how)

    def enter(self, *command: str) -> list[str]:
        """The command line that runs ``command`` in the node, with the node's files, network and processes."""
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-u", "-i", "--", *command]

    def run(self, *command: str, timeout: float = 60.0) -> str:
        """What a command in the node printed. RuntimeError with what it said when it fails."""
        done = subprocess.run(
            self.enter(*command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def load_image(self, archive: Path) -> None:
        """A docker-archive's images are known to the node's containerd."""
        self.run("ctr", "-n", "k8s.io", "images", "import", "--no-unpack", str(archive), timeout=300)

    def down(self) -> None:
        """No process, mount, interface, loop device or control group of it is left. Safe for one that is half up."""
        loops = self._loops() if self.processes.running(self.name) else []
        self.processes.stop(self.name, how=signal.SIGKILL, patience=30)
        for program in ("kubelet", "kube-proxy", "containerd"):
            self.processes.stop(self._process(program), how=signal.SIGKILL)
        _detach(loops)
        cgroups.remove(self.cgroup)

    def _process(self, program: str) -> str:
        return f"{self.name}.{program}"

    def _command(self, program: str) -> list[str]:
        if program == "containerd":
            return [
                shutil.which("containerd") or "/usr/bin/containerd",
                "--config",
                f"{self.directory}/containerd.toml",
            ]
        place = binaries.directory()
        if program == "kubelet":
            return [
                *(str(place / "kubelet"), f"--config={self.directory}/kubelet.yaml", f"--node-ip={self.address}"),
                *(f"--kubeconfig={self._cluster}/kubelet-{self.name}.kubeconfig", f"--hostname-override={self.name}"),
            ]
        if program == "kube-proxy":
            return [
                *(str(place / "kube-proxy"), f"--kubeconfig={self._cluster}/kube-proxy.kubeconfig"),
                *(f"--hostname-override={self.name}", "--proxy-mode=iptables", f"--cluster-cidr={self._network.pods}"),
                # The limits of connection tracking are the machine's, not the node's.
                *("--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s"),
                "--conntrack-tcp-timeout-close-wait=0s",
            ]
        raise ValueError(f"a node runs kubelet, containerd and kube-proxy, not {program}")

    def _kubelet(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._cluster / "pki" / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            # Lowering it needs CAP_SYS_RESOURCE, which root need not have.
            "oomScoreAdj": 0,
            "enforceNodeAllocatable": [],
            # The machine's disk and memory are shared: how full they are says nothing of this node.
            "evictionHard": dict.fromkeys(("memory.available", "nodefs.available", "imagefs.available"), "0%"),
            "imageGCHighThresholdPercent": 100,
            "maxPods": 250,
            "resolvConf": "",
            "clusterDNS": [self._network.api],
            "clusterDomain": DOMAIN,
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            "providerID": f"test://{self.name}",
            # A test that restarts things waits for this.
            "nodeStatusUpdateFrequency": "5s",
            # So does one that kills things, several times over.
            "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
            "shutdownGracePeriod": "0s",
        }

    def _cni(self) -> dict[str, object]:
        addresses = {"type": "host-local", "ranges": [[{"subnet": self._network.pods_of(self.index)}]]}
        bridge = {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {**addresses, "routes": [{"dst": "0.0.0.0/0"}]},
        }
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}

    def _containerd(self) -> str:
        # The opt plugin would make directories in the machine's /opt; the next three need what is not here. Root need not
        # have CAP_SYS_RESOURCE: then nothing may be made less likely to be killed than it is (proc(5), oom_score_adj).
        return f"""
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
stream_server_address = "127.0.0.1"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = {json.dumps(str(self.directory / "cni"), ensure_ascii=False)}
"""

    def _loops(self) -> list[str]:
        """Loop devices whose files are in the node's own part of the tree: nobody else can be using them."""
        said = self.run("losetup", "--list", "--json", "--output", "NAME,BACK-FILE,BACK-INO")
        devices = json.loads(said)["loopdevices"] if said.strip() else []
        return [device["name"] for device in devices if self._owns(device)]

    def _owns(self, device: dict[str, object]) -> bool:
        file = str(device["back-file"]).removesuffix(" (deleted)")
        if not file.startswith(PRIVATE):
            return False
        try:
            found = os.stat(f"{self.root}{file}")
        except FileNotFoundError:
            return str(device["back-file"]).endswith(" (deleted)")
        # Another namespace's file may have the same path here, hardly the same number.
        return found.st_ino == int(str(device["back-ino"]))


def _detach(loops: list[str]) -> None:
    # One may hold the file of another: the last round finds none that still fails.
    for _ in range(50):
        loops = [name for name in loops if subprocess.run(["losetup", "-d", name], check=False).returncode]
        if not loops:
            return
        time.sleep(0.1)
    raise RuntimeError(f"loop devices that cannot be detached: {', '.join(loops)}")


def _eventually(true: object, otherwise: str, patience: float = 30.0) -> None:
    assert callable(true)
    ends = time.monotonic() + patience
    while not true():
        if time.monotonic() > ends:
            raise RuntimeError(otherwise)
        time.sleep(0.05)
