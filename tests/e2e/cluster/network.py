"""The wires of a cluster: a bridge in this network namespace with the API's address, and a veth pair per node.

Nothing else of this machine's network is touched: what kube-proxy and CNI do, they do in the nodes' own namespaces.
"""

import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Network:
    """The addresses of one cluster, ``10.<number>.0.0/16``, and the names of its interfaces."""

    number: int
    label: str

    @classmethod
    def free(cls, directory: Path) -> "Network":
        """One that no interface here has, the same for the same directory when it can be."""
        taken = _ip("-4", "-o", "addr", "show") + _ip("-4", "route", "show")
        wanted = zlib.crc32(str(directory).encode())
        for step in range(100):
            number = 110 + (wanted + step) % 100
            if f" 10.{number}." not in taken and f"\n10.{number}." not in taken:
                return cls(number, f"h{wanted & 0xFFFFFF:06x}")
        raise RuntimeError("all of 10.110.0.0 to 10.209.0.0 is in use on this machine; no room for a cluster's network")

    @property
    def api(self) -> str:
        """Where the API server listens: the machine's own address in this network."""
        return f"10.{self.number}.0.1"

    @property
    def pods(self) -> str:
        return f"10.{self.number}.128.0/17"

    def address(self, index: int) -> str:
        """Node ``index``'s, counted from 1."""
        return f"10.{self.number}.0.{10 + index}"

    def pods_of(self, index: int) -> str:
        return f"10.{self.number}.{128 + index}.0/24"

    def up(self) -> None:
        """The bridge is there and has the API's address."""
        _ip("link", "add", self.label, "type", "bridge")
        _ip("addr", "add", f"{self.api}/24", "dev", self.label)
        _ip("link", "set", self.label, "up")

    def attach(self, index: int, pid: int, nodes: int) -> None:
        """Node ``index``, whose first process is ``pid``, reaches the API, the other nodes and their pods."""
        near, enter = f"{self.label}n{index}", ("nsenter", "-t", str(pid), "-n", "ip")
        _ip("link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        _ip("link", "set", near, "master", self.label, "up")
        _run(*enter, "addr", "add", f"{self.address(index)}/24", "dev", "eth0")
        _run(*enter, "link", "set", "eth0", "up")
        _run(*enter, "route", "add", "default", "via", self.api)
        for other in range(1, nodes + 1):
            if other != index:
                _run(*enter, "route", "add", self.pods_of(other), "via", self.address(other))
        # So that tests reach pods, and the API server webhooks in them.
        _ip("route", "replace", self.pods_of(index), "via", self.address(index), "dev", self.label)

    def cut(self, index: int) -> None:
        """Node ``index`` is off the wire: its interface is up and has no carrier, as with a cable pulled."""
        _ip("link", "set", f"{self.label}n{index}", "down")

    def mend(self, index: int) -> None:
        _ip("link", "set", f"{self.label}n{index}", "up")

    def down(self) -> None:
        """No interface of it is left; the nodes' ends went with their namespaces or go with these."""
        for line in _ip("-o", "link", "show").splitlines():
            name = line.split(":")[1].strip().split("@")[0]
            if name.startswith(f"{self.label}n"):
                # It goes with the node's namespace too, and may have gone between the two commands.
                subprocess.run(["ip", "link", "del", name], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["ip", "link", "del", self.label], stderr=subprocess.DEVNULL, check=False)


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
