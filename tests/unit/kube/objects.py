"""Secrets and ConfigMaps in memory, with the API's rule that a change names the version it was made from."""

import copy

from driver.kube.core import Kind, Object
from driver.model.errors import Unavailable


class Memory:
    """Implements kube.authority.Objects."""

    namespace = "holdall"

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Object] = {}
        self.locked: set[Kind] = set()
        """Kinds that nobody may change."""
        self._version = 0

    async def read(self, kind: Kind, name: str) -> Object | None:
        return copy.deepcopy(self.kept.get((kind, name)))

    async def create(self, kind: Kind, name: str, content: Object) -> bool:
        self._check(kind)
        if (kind, name) in self.kept:
            return False
        self._keep(kind, {**content, "metadata": {"name": name}})
        return True

    async def replace(self, kind: Kind, known: Object) -> bool:
        self._check(kind)
        there = self.kept.get((kind, known["metadata"]["name"]))
        if there is None or there["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"]:
            return False
        self._keep(kind, known)
        return True

    def _check(self, kind: Kind) -> None:
        if kind in self.locked:
            raise Unavailable(f"{kind} is forbidden")

    def _keep(self, kind: Kind, content: Object) -> None:
        self._version += 1
        kept = copy.deepcopy(content)
        kept["metadata"]["resourceVersion"] = str(self._version)
        self.kept[kind, kept["metadata"]["name"]] = kept
