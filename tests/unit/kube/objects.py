"""Secrets and ConfigMaps in memory, with the API's rule that a change names the version it was made from."""

import copy

from driver.kube.core import Kind, Object


class Memory:
    """Implements kube.authority.Objects."""

    namespace = "holdall"

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Object] = {}
        self._version = 0

    async def read(self, kind: Kind, name: str) -> Object | None:
        return copy.deepcopy(self.kept.get((kind, name)))

    async def create(self, kind: Kind, name: str, content: Object) -> bool:
        if (kind, name) in self.kept:
            return False
        self._keep(kind, {**content, "metadata": {"name": name, **content.get("metadata", {})}})
        return True

    async def replace(self, kind: Kind, known: Object) -> bool:
        there = self.kept.get((kind, known["metadata"]["name"]))
        if there is None or there["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"]:
            return False
        self._keep(kind, known)
        return True

    def _keep(self, kind: Kind, content: Object) -> None:
        self._version += 1
        kept = copy.deepcopy(content)
        kept["metadata"]["resourceVersion"] = str(self._version)
        self.kept[kind, kept["metadata"]["name"]] = kept
