"""The controller ends while it makes volumes and snapshots: each is made once, and the other replica goes on."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from signal import SIGCONT, SIGKILL, SIGSTOP

import pytest

from .driver import Driver, Pod
from .space import Space

pytestmark = pytest.mark.timeout(900)

CLAIMS = 8
LEASE = 15 + 5
"""Seconds that csi-provisioner's Lease lasts, and between two looks of the one that waits (values.yaml)."""
WORK = 10
"""Seconds for a claim on this machine once somebody works at it."""


@contextmanager
def killed_in_turn(driver: Driver, seed: int, pause: float) -> Iterator[list[str]]:
    """Within the block, Holdall's process of one controller pod after the other is killed, ``pause`` seconds apart at
    most. Gives the pods' names in that order; afterwards all are ready."""
    dice, over, killed = random.Random(seed), threading.Event(), list[str]()
    pods: Sequence[Pod] = driver.controllers()

    def work() -> None:
        turn = 0
        while not over.wait(dice.uniform(0.0, pause)):
            pod = pods[turn % len(pods)]
            turn += 1
            if driver.kill(pod):
                killed.append(pod["metadata"]["name"])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()
        driver.ready()


@pytest.mark.parametrize("seed", [1, 2])
def test_controllers_are_killed_while_they_make_volumes(space: Space, driver: Driver, seed: int) -> None:
    """Several claims at once, both replicas killed in turn: every claim is bound to a volume of its own, written by its
    pod; nothing else was made, and each name is placed where its volume is."""
    names = [f"claim-{index}" for index in range(CLAIMS)]
    with killed_in_turn(driver, seed, pause=5.0) as killed:
        for name in names:
            space.claim(name)
            space.pod(name, {"/data": name}, ready=False)
        time.sleep(15)
    assert len(set(killed)) == 2
    space.ready(*names, patience=240)
    for name in names:
        # Somebody else's volume would have somebody else's name in it.
        assert space.sh(name, f"cat /data/* 2>/dev/null || :; echo {name} >/data/name; sync") == ""
    assert [space.sh(name, "cat /data/name") for name in names] == [f"{name}\n" for name in names]
    assert len(space.volumes()) == CLAIMS
    driver.check_nothing_doubled()


def test_controllers_are_killed_while_they_make_snapshots(space: Space, driver: Driver) -> None:
    """Each VolumeSnapshot gets ready with one snapshot, whose restored claim has what was there before it was asked for."""
    names = [f"claim-{index}" for index in range(4)]
    for name in names:
        space.claim(name)
        space.pod(name, {"/data": name}, ready=False)
    space.ready(*names)
    for name in names:
        space.sh(name, f"echo {name} >/data/name; sync")
    with killed_in_turn(driver, 3, pause=5.0) as killed:
        for name in names:
            for number in (1, 2):
                space.apply(
                    {
                        "apiVersion": "snapshot.storage.k8s.io/v1",
                        "kind": "VolumeSnapshot",
                        "metadata": {"name": f"{name}-{number}"},
                        "spec": {
                            "volumeSnapshotClassName": "holdall",
                            "source": {"persistentVolumeClaimName": name},
                        },
                    }
                )
        time.sleep(15)
    assert len(set(killed)) == 2
    space.kubectl(
        *("wait", "--for=jsonpath={.status.readyToUse}=true", "--timeout=240s", "volumesnapshots", "--all"), timeout=270
    )
    driver.check_nothing_doubled()
    with killed_in_turn(driver, 4, pause=5.0):
        for name in names:
            source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": f"{name}-1"}
            space.claim(f"{name}-again", dataSource=source)
            space.pod(f"{name}-again", {"/data": f"{name}-again"}, ready=False)
        time.sleep(10)
    space.ready(*(f"{name}-again" for name in names), patience=240)
    assert [space.sh(f"{name}-again", "cat /data/name") for name in names] == [f"{name}\n" for name in names]
    driver.check_nothing_doubled()
    with killed_in_turn(driver, 5, pause=5.0):
        space.kubectl("delete", "pods,pvc,volumesnapshots", "--all", "--wait=false")
        time.sleep(10)
    space.kubectl("wait", "--for=delete", "--timeout=240s", "pvc,volumesnapshots", "--all", timeout=270)
    driver.check_nothing_doubled()


def test_the_next_claim_is_bound_within_the_lease_when_the_leader_stands_still(space: Space, driver: Driver) -> None:
    """All of the leading controller pod stops, as on a machine that hangs: the other pod's provisioner takes over."""
    space.claim("before")
    space.pod("before", {"/data": "before"})
    name = driver.holder()
    (leader,) = [pod for pod in driver.controllers() if pod["metadata"]["name"] == name]
    assert driver.signal_all(leader, SIGSTOP)
    try:
        began = time.monotonic()
        space.claim("next")
        space.pod("next", {"/data": "next"}, ready=False)
        space.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s", "pvc/next")
        took = time.monotonic() - began
        assert driver.holder() != name
    finally:
        driver.signal_all(leader, SIGCONT)
    print(f"bound {took:.1f} s after its leader stood still")
    assert took < LEASE + WORK
    space.ready("next")
    driver.ready()
    driver.check_nothing_doubled()


def test_the_next_claim_is_bound_within_the_lease_when_the_leader_is_killed(space: Space, driver: Driver) -> None:
    """Holdall and its sidecars in the leading pod, all at once: whoever leads next binds it."""
    name = driver.holder()
    (leader,) = [pod for pod in driver.controllers() if pod["metadata"]["name"] == name]
    assert driver.signal_all(leader, SIGKILL)
    began = time.monotonic()
    space.claim("next")
    space.pod("next", {"/data": "next"}, ready=False)
    space.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s", "pvc/next")
    took = time.monotonic() - began
    print(f"bound {took:.1f} s after its leader was killed")
    assert took < LEASE + WORK
    space.ready("next")
    driver.ready()
    driver.check_nothing_doubled()
