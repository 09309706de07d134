"""``python -m tests.e2e.cluster up|down|status [--directory DIR]``."""

import argparse
import os
import sys
import time
from pathlib import Path

from . import binaries, packages
from .cluster import DEFAULT, Cluster


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.e2e.cluster", description="A real Kubernetes on this machine.")
    parser.add_argument("what", choices=("up", "down", "status"))
    parser.add_argument("--directory", type=Path, default=DEFAULT, help="where its state lies (default: out/cluster)")
    parser.add_argument("--nodes", type=int, default=2)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("cluster: a cluster makes namespaces, mounts and interfaces; run this as root", file=sys.stderr)
        return 1
    if options.what == "up":
        return _up(options.directory, options.nodes)
    cluster = Cluster(options.directory)
    if options.what == "down":
        cluster.down()
        return 0
    running = cluster.processes.names()
    for name in running:
        print(f"{name:28} {cluster.processes.pid(name) or 'ended'}")
    if not running:
        print(f"no cluster in {options.directory}")
        return 3
    print(cluster.kubectl("get", "nodes", "--output=wide", "--request-timeout=5s"), end="")
    return 0


def _up(directory: Path, nodes: int) -> int:
    packages.ensure()
    binaries.ensure()
    started = time.monotonic()
    cluster = Cluster(directory, nodes).up()
    print(f"cluster: up in {time.monotonic() - started:.0f} s")
    print(f"  export KUBECONFIG={cluster.api.kubeconfig}")
    print(f"  PATH=$PATH:{binaries.directory()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
