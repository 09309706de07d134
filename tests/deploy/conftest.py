"""The chart, for every test below."""

import pytest

from .rendered import Chart, Rendered

EVERYTHING = {
    "nodeGroups": [
        {
            "name": "nvme",
            "nodeSelector": {"disk": "nvme"},
            "pools": [
                {"name": "fast", "backend": "image", "path": "/srv/nvme/holdall", "floor": "20GiB", "thin_factor": 1.5},
                {"name": "tree", "backend": "btrfs", "image": "/srv/images/tree.img", "size": 10 * 2**40},
            ],
        },
        {"name": "hdd", "nodeSelector": {"disk": "hdd"}, "defaultPool": {"name": "slow", "size": "1TiB"}},
    ],
    "volumeAttributesClasses": [{"name": "zstd", "parameters": {"compression": "zstd"}}],
    "rbac": {"readSecrets": True},
    "networkPolicy": {"enabled": True, "nodeCIDRs": ["10.0.0.0/8"]},
    "ca": {"certManager": {"enabled": True}},
    "metrics": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    },
}
"""Values that turn everything on."""


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    return Chart(tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="session")
def plain(chart: Chart) -> Rendered:
    """The chart with nothing but its own values."""
    return chart.render()


@pytest.fixture(scope="session")
def everything(chart: Chart) -> Rendered:
    return chart.render(EVERYTHING)
