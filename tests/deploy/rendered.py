"""The chart as a cluster would get it: rendered once per set of values, found by kind and name."""

from pathlib import Path
from typing import Any

import yaml

from tools import chart

Object = dict[str, Any]


class Rendered:
    """What the chart renders to."""

    def __init__(self, text: str) -> None:
        self.objects: list[Object] = [one for one in yaml.safe_load_all(text) if one]

    def of(self, kind: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, name: str = "") -> Object:
        """The one object of this kind (with this name); there must be exactly one."""
        found = [one for one in self.of(kind) if name in ("", one["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} objects {kind} {name}"
        return found[0]

    def pod(self, kind: str, name: str = "") -> Object:
        """The pod's spec in a DaemonSet or Deployment."""
        spec: Object = self.one(kind, name)["spec"]["template"]["spec"]
        return spec

    def container(self, kind: str, container: str) -> Object:
        (found,) = [one for one in self.pod(kind)["containers"] if one["name"] == container]
        return dict(found)

    def configuration(self, name: str) -> str:
        text: str = self.one("ConfigMap", name)["data"]["holdall.toml"]
        return text


class Chart:
    """Renders values given as a mapping, like a values file."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._known: dict[str, Rendered] = {}

    def render(self, values: Object | None = None, *, namespace: str = "holdall", release: str = "holdall") -> Rendered:
        """Raises ``tools.chart.Refused`` for values that the chart's schema or a template does not take."""
        text = yaml.safe_dump(values or {})
        key = f"{namespace} {release} {text}"
        if key not in self._known:
            self._known[key] = Rendered(chart.render(self._file(text), namespace=namespace, release=release))
        return self._known[key]

    def lint(self, values: Object) -> None:
        """Raises ``tools.chart.Refused`` unless ``helm lint --strict`` is content."""
        chart.lint(self._file(yaml.safe_dump(values)))

    def _file(self, text: str) -> Path:
        file = self._place / "values.yaml"
        file.write_text(text)
        return file
