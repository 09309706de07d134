"""The Debian packages a cluster needs, installed where they are missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_NEEDED = {
    "containerd": ("containerd", "runs the pods"),
    "runc": ("runc", "starts their containers"),
    "iptables": ("iptables", "kube-proxy's services"),
    "ip": ("iproute2", "the nodes' network"),
    "busybox": ("busybox-static", "what images are made of"),
    "unshare": ("util-linux", "the nodes' namespaces"),
}
_CNI = Path("/usr/lib/cni/bridge")


def ensure() -> None:
    """Each program is there. What gets installed is said on stderr. CalledProcessError when apt-get cannot."""
    missing = {package: why for program, (package, why) in _NEEDED.items() if not shutil.which(program)}
    if not _CNI.exists():
        missing["containernetworking-plugins"] = "the pods' network"
    if not missing:
        return
    for package, why in missing.items():
        print(f"cluster: installing {package}: {why}", file=sys.stderr)
    apt = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (("update",), ("install", "-y", "--no-install-recommends", *missing)):
        subprocess.run([*apt, *command], env=quiet, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True)
