"""The examples: each can be applied as it is. That each does what it says, the e2e tests show."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import chart

from .rendered import Rendered

EXAMPLES = sorted((chart.ROOT / "deploy" / "examples").glob("*.yaml"))


def objects(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_to_see(path: Path) -> None:
    """It begins with a comment, and nothing in it needs to be filled in."""
    assert path.read_text().startswith("# ")
    assert "<" not in path.read_text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_uses_only_what_the_chart_or_itself_installs(path: Path, plain: Rendered) -> None:
    """Classes are those of the chart's own values, or in the file."""
    there = {(one["kind"], one["metadata"]["name"]) for one in (*plain.objects, *objects(path))}
    for one in objects(path):
        spec = one.get("spec", {})
        for key, kind in (
            ("storageClassName", "StorageClass"),
            ("volumeSnapshotClassName", "VolumeSnapshotClass"),
            ("volumeGroupSnapshotClassName", "VolumeGroupSnapshotClass"),
            ("volumeAttributesClassName", "VolumeAttributesClass"),
        ):
            if key in spec:
                assert (kind, spec[key]) in there


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_needs_one_small_image(path: Path) -> None:
    """busybox, and a pod that ends at once when it is deleted."""
    for pod in (one for one in objects(path) if one["kind"] == "Pod"):
        assert {container["image"] for container in pod["spec"]["containers"]} == {"busybox"}
        assert pod["spec"]["terminationGracePeriodSeconds"] == 1


def test_no_two_examples_make_the_same_object() -> None:
    """All can be applied side by side."""
    names = [(one["kind"], one["metadata"]["name"]) for path in EXAMPLES for one in objects(path)]
    assert len(names) == len(set(names))
