"""The driver's CA is replaced while calls go on: nobody restarts, nothing is refused."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from .cluster.cluster import Cluster
from .driver import Driver
from .installation import NAMESPACE
from .space import Space

pytestmark = pytest.mark.timeout(900)

SETTLE = 300
"""Seconds from a new CA's publication until it signs (driver/kube/authority.py)."""


def authority(cluster: Cluster) -> x509.Certificate:
    """The CA in the Secret. RuntimeError while there is none."""
    found: Any = cluster.get("-n", NAMESPACE, "secret", "holdall-ca")
    return x509.load_pem_x509_certificate(base64.b64decode(found["data"]["tls.crt"]))


def trusted(cluster: Cluster) -> list[x509.Certificate]:
    """The bundle that nodes mount."""
    found: Any = cluster.get("-n", NAMESPACE, "configmap", "holdall-ca")
    return x509.load_pem_x509_certificates(found["data"]["ca.crt"].encode())


def issued(text: str | bytes, ca: x509.Certificate) -> bool:
    """Whether the CA, and not another of its name, signed the certificate."""
    try:
        x509.load_pem_x509_certificate(text.encode() if isinstance(text, str) else text).verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError):
        return False
    return True


def restarts(driver: Driver) -> dict[str, int]:
    pods = [*driver.controllers(), *(driver.node_pod(node.name) for node in driver.cluster.nodes)]
    return {
        pod["metadata"]["name"]: sum(one["restartCount"] for one in pod["status"]["containerStatuses"]) for pod in pods
    }


@contextmanager
def calls(driver: Driver) -> Iterator[list[str]]:
    """Within the block, volumes are made and deleted through each controller in turn. Gives what went wrong."""
    over, wrong = threading.Event(), list[str]()
    pods = driver.controllers()

    def work() -> None:
        turn = 0
        while not over.wait(1.0):
            turn += 1
            pod, name = pods[turn % len(pods)], f"probe-{turn}"
            try:
                driver.say("volume", "create", name, "--size", "16MiB", "--backend", "image", pod=pod)
                driver.say("volume", "delete", name, pod=pod)
            except RuntimeError as error:
                wrong.append(str(error))
        if not turn:
            wrong.append("no call was made")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield wrong
    finally:
        over.set()
        thread.join()


def test_a_new_authority_takes_over_without_a_restart(space: Space, driver: Driver, full_proof: bool) -> None:
    """The Secret is gone, as whoever wants a new CA does it: a controller makes another, whose certificate is trusted beside
    the old one before it signs anything. `make prove` also waits until it signs, and takes the old one out of the bundle
    before the nodes would have renewed by themselves: they enrol anew as soon as they see that."""
    cluster = space.cluster
    before, old = restarts(driver), authority(cluster)
    with calls(driver) as wrong:
        cluster.kubectl("-n", NAMESPACE, "delete", "secret", "holdall-ca")
        cluster.wait_for(lambda: authority(cluster) != old, "a new CA", 60)
        new = authority(cluster)
        cluster.wait_for(lambda: trusted(cluster)[:1] == [new] and old in trusted(cluster), "the bundle of both", 60)
        space.claim("meanwhile")
        space.pod("meanwhile", {"/data": "meanwhile"})
        if full_proof:
            cluster.wait_for(lambda: _controllers_by(driver, new), "controllers certified by the new CA", SETTLE + 120)
            time.sleep(10)
    assert wrong == []
    if full_proof:
        bundle = json.dumps({"data": {"ca.crt": new.public_bytes(Encoding.PEM).decode()}})
        cluster.kubectl("-n", NAMESPACE, "patch", "configmap", "holdall-ca", "--patch", bundle)
        # kubelet brings a ConfigMap's change to a mount within some 90 s.
        cluster.wait_for(lambda: all(issued(_of_node(cluster, node.name), new) for node in cluster.nodes), "nodes", 240)
        assert trusted(cluster) == [new]
    space.claim("afterwards")
    space.pod("afterwards", {"/data": "afterwards"})
    assert restarts(driver) == before
    driver.check_nothing_doubled()


def _controllers_by(driver: Driver, ca: x509.Certificate) -> bool:
    path = "/var/lib/holdall/state/controller/tls/tls.crt"
    names = [pod["metadata"]["name"] for pod in driver.controllers()]
    found = [
        driver.cluster.kubectl("-n", NAMESPACE, "exec", f"pod/{name}", "-c", "holdall", "--", "cat", path)
        for name in names
    ]
    return all(issued(one, ca) for one in found)


def _of_node(cluster: Cluster, name: str) -> bytes:
    return Path(f"{cluster.node(name).root}/var/lib/holdall/tls/tls.crt").read_bytes()
