"""etcd and kube-apiserver: for tests that need a real API and nothing behind it, and as the head of the cluster.

with ApiServer(tmp_path) as api:
    ...  # api.kubeconfig, or api.url with api.ca_file and api.token
"""

import json
import secrets
import signal
import socket
import ssl
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from . import binaries
from .credentials import kubeconfig
from .pki import Authority
from .processes import Processes

SERVICE_RANGE = "10.96.0.0/16"
ISSUER = "https://kubernetes.default.svc"
# 10.96.0.1 is the first of the range: where pods find the API.
_NAMES = ("localhost", "127.0.0.1", "10.96.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class ApiServer:
    """A Kubernetes API on ``address`` whose state, keys and logs lie in ``directory``; ended with the ``with`` block.

    RBAC and the Node authorizer are on; ``token`` and the kubeconfig's certificate are of the group system:masters.
    ServiceAccount tokens are issued (TokenRequest) and checked (TokenReview), bound to pods and their nodes too.
    ``audit_log`` has a line of JSON per request, without bodies. With the default flags a pod needs no ServiceAccount,
    for nothing here makes one. Nothing schedules, runs or collects garbage: a namespace once deleted stays Terminating.
    """

    def __init__(
        self,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        flags: Sequence[str] = ("--disable-admission-plugins=ServiceAccount",),
        end_with_parent: bool = True,
    ) -> None:
        self.directory = directory.absolute()
        self.processes = Processes(self.directory)
        self.kubeconfig = self.directory / "admin.kubeconfig"
        self.audit_log = self.directory / "audit.log"
        self.ca_file = self.directory / "pki" / "ca.crt"
        self._address = address
        self._flags = flags
        self._end_with_parent = end_with_parent
        self._facts = self.directory / "api.json"

    def __enter__(self) -> "ApiServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """``https://ADDRESS:PORT``, the same over restarts. FileNotFoundError before the first start."""
        return f"https://{self._address}:{self._fact('port')}"

    @property
    def token(self) -> str:
        """A bearer token that may do everything, the same over restarts. FileNotFoundError before the first start."""
        return str(self._fact("token"))

    def start(self, patience: float = 60.0) -> "ApiServer":
        """Ready: /readyz says ok. RuntimeError with the end of the log when it ends or takes too long instead."""
        programs = binaries.ensure(binaries.CONTROL_PLANE)
        if not self._facts.exists():
            self._invent()
        for name, command in (("etcd", self._etcd()), ("kube-apiserver", self._api_server())):
            if not self.processes.running(name):
                self.processes.start(name, [programs / name, *command], end_with_parent=self._end_with_parent)
        self.wait_ready(patience)
        return self

    def stop(self) -> None:
        """Neither runs any more; what etcd holds is there for the next start."""
        # The API server would wait for watches to end, and nothing here is worth that.
        for name in ("kube-apiserver", "etcd"):
            self.processes.stop(name, how=signal.SIGKILL)

    def wait_ready(self, patience: float = 60.0) -> None:
        """As `start`, for one that was started or continued otherwise."""
        ends = time.monotonic() + patience
        while not self._ready():
            for name in ("etcd", "kube-apiserver"):
                if not self.processes.running(name):
                    raise RuntimeError(f"{name} ended:\n{self.processes.tail(name)}")
            if time.monotonic() > ends:
                tail = self.processes.tail("kube-apiserver")
                raise RuntimeError(f"kube-apiserver is not ready after {patience:.0f} s:\n{tail}")
            time.sleep(0.1)

    def _ready(self) -> bool:
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.token}"})
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.ca_file))),
        )
        try:
            with opener.open(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _fact(self, name: str) -> object:
        return json.loads(self._facts.read_text())[name]

    def _invent(self) -> None:
        """Everything that stays the same over restarts: ports, keys, certificates, who may do what."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        port, client, peer = _free_ports(self._address, 3)
        token = secrets.token_hex(24)
        authority = Authority(self.directory / "pki")
        authority.issue("server", "kube-apiserver", hosts=dict.fromkeys((*_NAMES, self._address)))
        authority.issue("kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",))
        authority.key_pair("accounts")
        tokens = self.directory / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{token},admin,admin,"system:masters"\n')
        (self.directory / "audit-policy.yaml").write_text(json.dumps(_AUDIT_POLICY))
        kubeconfig(self.directory, f"https://{self._address}:{port}", "admin")
        self._facts.touch(mode=0o600)
        self._facts.write_text(json.dumps({"port": port, "client": client, "peer": peer, "token": token}))

    def _etcd(self) -> list[str]:
        client = f"http://127.0.0.1:{self._fact('client')}"
        peer = f"http://127.0.0.1:{self._fact('peer')}"
        return [
            *("--name=test", f"--data-dir={self.directory / 'etcd'}", f"--initial-cluster=test={peer}"),
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
            # Nothing here outlives the machine, and a sync costs more than all else together.
            *("--unsafe-no-fsync", "--log-level=warn"),
        ]

    def _api_server(self) -> list[str]:
        pki = self.directory / "pki"
        return [
            f"--etcd-servers=http://127.0.0.1:{self._fact('client')}",
            *(f"--bind-address={self._address}", f"--secure-port={self._fact('port')}"),
            f"--advertise-address={self._address}",
            *(f"--tls-cert-file={pki / 'server.crt'}", f"--tls-private-key-file={pki / 'server.key'}"),
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"),
            *(f"--service-account-issuer={ISSUER}", f"--service-account-key-file={pki / 'accounts.pub'}"),
            f"--service-account-signing-key-file={pki / 'accounts.key'}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--allow-privileged=true",
            # Node names do not resolve here, and kubelets serve by a certificate of their own making.
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
            f"--kubelet-client-key={pki / 'kubelet-client.key'}",
            *(f"--audit-policy-file={self.directory / 'audit-policy.yaml'}", f"--audit-log-path={self.audit_log}"),
            *("--profiling=false", "--shutdown-delay-duration=0s"),
            *self._flags,
        ]


def _free_ports(address: str, count: int) -> list[int]:
    """Ports nobody listens on, no two the same: etcd's and the API server's must be known before they start."""
    held = [socket.create_server((host, 0)) for host in (address, *["127.0.0.1"] * (count - 1))]
    try:
        return [int(listener.getsockname()[1]) for listener in held]
    finally:
        for listener in held:
            listener.close()
