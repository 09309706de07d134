"""The driver's configuration as the chart writes it is one that the driver takes."""

from pathlib import Path

import pytest

from driver.cli import config
from driver.model.config import Config

from .rendered import Rendered


@pytest.fixture
def load(tmp_path: Path):
    def read(rendered: Rendered, name: str) -> Config:
        file = tmp_path / "holdall.toml"
        file.write_text(rendered.configuration(name))
        return config.load(str(file), {})

    return read


def test_a_node_reads_its_configuration(load, plain: Rendered) -> None:
    """Registered with kubelet, enrolled, and with the default pool."""
    found = load(plain, "holdall-node")
    assert found.kubelet_endpoint == "unix:///var/lib/kubelet/plugins/holdall.csi.dev/csi.sock"
    assert found.registration_dir == "/var/lib/kubelet/plugins_registry"
    assert found.controller_endpoint == "tcp://0.0.0.0:9808"
    assert found.enrolment.controller == "holdall-controller.holdall.svc:9809"
    assert found.pools == ()


def test_a_group_reads_its_pools(load, everything: Rendered) -> None:
    """Sizes stay whole numbers, factors fractions, and words words."""
    fast, tree = load(everything, "holdall-node-nvme").pools
    assert (
        fast.name,
        fast.backend,
        fast.path,
        fast.floor,
        fast.thin_factor,
    ) == ("fast", "image", "/srv/nvme/holdall", 20 * 2**30, 1.5)
    assert tree.options == {"image": "/srv/images/tree.img", "size": 10 * 2**40}


def test_a_group_reads_its_default_pool(load, everything: Rendered) -> None:
    """What a group says of the default pool is in its file alone."""
    assert load(everything, "holdall-node-hdd").default_pool == {"name": "slow", "size": "1TiB"}
    assert load(everything, "holdall-node-nvme").default_pool == {}


def test_a_controller_reads_its_configuration(load, plain: Rendered) -> None:
    """It finds its nodes by the labels that the node pods have."""
    found = load(plain, "holdall-controller").kubernetes
    labels = plain.one("DaemonSet")["spec"]["template"]["metadata"]["labels"]
    assert dict(part.split("=") for part in found.node_selector.split(",")).items() <= labels.items()
    assert found.namespace == "holdall"
    assert found.node_account == plain.pod("DaemonSet")["serviceAccountName"]
    assert (found.ca_secret, found.ca_config_map) == ("holdall-ca", "holdall-ca")


def test_kubelet_finds_the_socket_where_the_pod_makes_it(load, plain: Rendered) -> None:
    """The directory of the host in which kubelet looks is the one mounted where the driver serves."""
    found = load(plain, "holdall-node")
    hosts = {one["name"]: one["hostPath"]["path"] for one in plain.pod("DaemonSet")["volumes"] if "hostPath" in one}
    mounts = {
        hosts.get(one["name"]): one["mountPath"] for one in plain.container("DaemonSet", "holdall")["volumeMounts"]
    }
    directory, name = found.kubelet_endpoint.removeprefix("unix://").rsplit("/", 1)
    assert found.endpoint == f"unix://{mounts[directory]}/{name}"
