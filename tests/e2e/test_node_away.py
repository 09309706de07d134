"""A node loses its network for a minute (the issue's five take no other path, only longer)."""

import json
import time
from collections.abc import Mapping

import pytest

from .driver import Driver
from .space import Space
from .writer import Writer

pytestmark = pytest.mark.timeout(900)

HERE, LOST = "node-1", "node-2"
AWAY = 60.0
"""Seconds."""
QUICK = 15.0
"""Seconds in which a claim on a node that is there is bound and its pod runs, lost nodes or not."""


def _claim_here(space: Space, name: str) -> float:
    """Seconds from the claim to its running pod."""
    began = time.monotonic()
    space.claim(name)
    space.pod(name, {"/data": name}, nodeSelector={"kubernetes.io/hostname": HERE})
    return time.monotonic() - began


def _reasons(space: Space) -> list[str]:
    """Of the events on the claim whose node is lost."""
    wanted = "--field-selector=involvedObject.kind=PersistentVolumeClaim,involvedObject.name=there"
    return [str(one["reason"]) for one in space.get("events", wanted)["items"]]


def test_a_node_that_is_away_holds_up_nobody_and_comes_back(
    space: Space, driver: Driver, classes: Mapping[str, str]
) -> None:
    """Its volumes stay listed; calls on them are refused naming it, and their claims are told that they are inaccessible;
    claims elsewhere are as quick as ever; its own pods write on, and are in order when it is back."""
    space.claim("there", "320Mi", storageClassName=classes["xfs"])
    writer = Writer(space, "there", "there", LOST)
    space.ready("there")
    _claim_here(space, "here")
    before = writer.wait_for_more()
    pod = driver.controller_on(HERE)
    listed = {one["id"] for one in driver.volumes(pod)}
    volume = space.volume_of("there")["spec"]["csi"]["volumeHandle"]
    mine = space.volume_of("here")["spec"]["csi"]["volumeHandle"]
    with space.cluster.cut_off(LOST):
        ends = time.monotonic() + AWAY
        space.cluster.wait_for(lambda: driver.holder() == pod["metadata"]["name"], f"a provisioner of {HERE} leads", 40)
        took = [_claim_here(space, f"more-{index}") for index in range(3)]
        assert {one["id"] for one in driver.volumes(pod)} >= listed
        began = time.monotonic()
        refused = driver.refusal("volume", "expand", volume, "400MiB", pod=pod)
        assert LOST in refused
        assert HERE not in refused
        assert time.monotonic() - began < QUICK
        assert json.loads(driver.say("volume", "show", mine, "--json", pod=pod))["health"] == []
        # Another controller leads, and the node has been silent for longer than an upgrade of its pod takes.
        space.cluster.wait_for(lambda: "VolumeInaccessible" in _reasons(space), "the event on the claim", 90)
        time.sleep(max(0.0, ends - time.monotonic()))
    print(f"claims while {LOST} was away: {', '.join(f'{one:.1f} s' for one in took)}")
    assert max(took) < QUICK
    space.cluster.wait_for(lambda: "VolumeHealthy" in _reasons(space), "the event that it is back", 90)
    space.ready("there", patience=120)
    driver.ready()
    after = writer.wait_for_more()
    assert after.mount == before.mount
    assert after.longest_pause <= 5
    space.grow("there", "400Mi")
    space.grown("there", "400Mi")
    driver.check_nothing_doubled()
