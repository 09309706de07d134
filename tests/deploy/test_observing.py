"""Dashboard and alerts: they load, and ask for nothing that is not served."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from driver.telemetry.metrics import Metrics
from driver.telemetry.readings import Io, PoolReading, Readings, Trouble, VolumeReading
from tools import chart

from .rendered import Rendered

DASHBOARD = chart.CHART / "dashboards" / "holdall.json"
ALERTS = chart.CHART / "alerts" / "holdall.yaml"
CASES = Path(__file__).parent / "alerts.yaml"
NAME = re.compile(r"\b(?:holdall|process)_[a-z_]+\b")
OF_PROMETHEUS = {"up", "ALERTS"}


def _served() -> set[str]:
    """Every name that a scrape of a node in use has."""
    trouble = (Trouble("DEGRADED", "DiskFails"),)
    pool = PoolReading(
        id="i", name="p", backend="image", reachable=True, total=1, available=1, reserved=1, volumes=1, snapshots=1,
        troubles=trouble,
    )  # fmt: skip
    volume = VolumeReading(
        id="v", pool_id="i", size=1, used=1, available=1, inodes=1, inodes_used=1, io=Io(1, 1, 1, 1, 1, 1), troubles=trouble
    )  # fmt: skip
    metrics = Metrics()
    metrics.add(Readings(lambda: [pool], lambda: [volume]))
    metrics.rpcs.labels("s", "m", "OK").inc()
    metrics.rpc_seconds.labels("s", "m").observe(1)
    metrics.rpcs_in_flight.labels("s", "m").set(1)
    return {sample.name for family in metrics.registry.collect() for sample in family.samples}


def _asked_by_the_dashboard() -> Iterator[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (
        variable["query"]["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"
    )


def _asked_by_the_alerts() -> Iterator[str]:
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("asked", [_asked_by_the_dashboard, _asked_by_the_alerts])
def test_every_query_names_a_metric_we_serve(asked) -> None:
    """A query for a name that nobody serves is empty for ever, which looks like all is well."""
    served = _served()
    for query in asked():
        words = re.sub(r'"[^"]*"', "", query)
        names = set(NAME.findall(words))
        assert names or OF_PROMETHEUS & set(re.findall(r"\w+", words)), query
        assert not names - served, query


def test_every_metric_of_ours_is_shown_or_watched() -> None:
    """What nobody looks at need not be served."""
    looked_at = {
        name for query in (*_asked_by_the_dashboard(), *_asked_by_the_alerts()) for name in NAME.findall(query)
    }
    ours = {name for name in _served() if name.startswith("holdall_")}
    assert {name for name in ours - looked_at if not name.endswith(("_seconds_count", "_seconds_sum"))} == set()


def test_the_dashboard_is_one_that_grafana_loads(everything: Rendered) -> None:
    """Panels have ids of their own and do not overlap; the ConfigMap has the file unchanged."""
    dashboard = json.loads(everything.one("ConfigMap", "holdall-dashboard")["data"]["holdall.json"])
    assert dashboard == json.loads(DASHBOARD.read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_rules_of_the_chart_are_those_of_the_file(everything: Rendered) -> None:
    """Helm's templates leave Prometheus's own alone."""
    assert everything.one("PrometheusRule")["spec"] == yaml.safe_load(ALERTS.read_text())


def test_promtool_takes_the_rules(promtool: str) -> None:
    """``promtool check rules`` finds no fault in them."""
    _run(promtool, "check", "rules", "--lint=all", "--lint-fatal", str(ALERTS))


def test_each_alert_fires_when_it_should_and_not_otherwise(promtool: str, tmp_path: Path) -> None:
    """``promtool test rules`` over made-up series, of a sick cluster and of a healthy one."""
    shutil.copy(ALERTS, tmp_path)
    shutil.copy(CASES, tmp_path)
    _run(promtool, "test", "rules", str(tmp_path / CASES.name))


def test_each_alert_is_tested() -> None:
    """An alert that never fired in a test may never fire at all."""
    cases = CASES.read_text()
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["alert"] in cases


@pytest.fixture(scope="module")
def promtool() -> str:
    found = subprocess.run(["sh", "tools/promtool.sh"], cwd=chart.ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
