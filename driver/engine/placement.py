"""Which pool a new volume goes to. Pure: pools as seen now in, a choice or a refusal that says per pool why not out."""

from collections.abc import Iterable, Sequence

import msgspec

from ..model import errors, sizes
from ..model.pool import PoolView

POOL, BACKEND, DEVICE_TYPE = "pool", "backend", "deviceType"
OWN_PARAMETERS = (POOL, BACKEND, DEVICE_TYPE)
_KUBERNETES = "csi.storage.k8s.io/"
FS_TYPE_KEYS = ("csi.storage.k8s.io/fstype", "fsType")


class Candidate(msgspec.Struct, frozen=True):
    """A pool that could be chosen: ``refusal`` is empty or why its backend cannot make such a volume."""

    view: PoolView
    need: int = 0
    refusal: str = ""


def backend_parameters(parameters: dict[str, str]) -> dict[str, str]:
    """What is left for the backend to read."""
    return {
        key: value
        for key, value in asked_by_people(parameters).items()
        if key not in OWN_PARAMETERS and key not in FS_TYPE_KEYS
    }


def asked_by_people(parameters: dict[str, str]) -> dict[str, str]:
    """Without what Kubernetes' sidecars add to say which claim and volume it is (--extra-modify-metadata and its like)."""
    return {key: value for key, value in parameters.items() if not key.startswith(_KUBERNETES)}


def fs_type_of(parameters: dict[str, str]) -> str:
    """The filesystem a StorageClass names, or an empty string."""
    return next((parameters[key] for key in FS_TYPE_KEYS if parameters.get(key)), "")


def in_topology(topology: dict[str, str], requisite: Sequence[dict[str, str]]) -> bool:
    """Whether a pool with ``topology`` can serve one of ``requisite`` (none: anywhere). Keys compare without case."""
    if not requisite:
        return True
    ours = {key.lower(): value for key, value in topology.items()}
    return any(all(ours.get(key.lower()) == value for key, value in wanted.items()) for wanted in requisite)


def mismatch(view: PoolView, parameters: dict[str, str], requisite: Sequence[dict[str, str]]) -> str:
    """Why the request does not mean this pool at all, or an empty string. Stays the same between retries."""
    if (name := parameters.get(POOL)) and name not in (view.name, view.id):
        return f"is not pool {name}"
    if (backend := parameters.get(BACKEND)) and backend != view.backend:
        return f"has backend {view.backend}, not {backend}"
    if (device := parameters.get(DEVICE_TYPE)) and device != view.device_class:
        return f"has device class {view.device_class or 'unknown'}, not {device}"
    if not in_topology(view.topology, requisite):
        return f"is on node {view.node_id}, outside the wanted topology"
    return ""


def check_names(parameters: dict[str, str], views: Iterable[PoolView], known_backends: Iterable[str]) -> None:
    """InvalidArgument for a pool or backend that exists nowhere here."""
    views = list(views)
    if (name := parameters.get(POOL)) and not any(name in (view.name, view.id) for view in views):
        have = ", ".join(view.name for view in views) or "none"
        raise errors.InvalidArgument(f"parameter pool={name!r} names no pool; pools here: {have}")
    if (backend := parameters.get(BACKEND)) and backend not in known_backends:
        raise errors.InvalidArgument(
            f"parameter backend={backend!r} is not known; backends: {', '.join(sorted(known_backends))}"
        )


def choose(candidates: Sequence[Candidate], preferred: Sequence[dict[str, str]], what: str) -> Candidate:
    """The most preferred, then emptiest pool that can.

    Raises InvalidArgument when every pool refuses the request as such, NoSpace when one only lacks room, Unplaceable
    otherwise; the message says per pool why not.
    """
    reasons: list[str] = []
    able: list[Candidate] = []
    short = False
    for candidate in candidates:
        view = candidate.view
        if candidate.refusal:
            reasons.append(f"pool {view.name}: {candidate.refusal}")
        elif not view.reachable:
            reasons.append(f"pool {view.name} is not reachable")
        elif not view.schedulable:
            reasons.append(f"pool {view.name} is closed for new volumes")
        elif view.available < candidate.need:
            short = True
            reasons.append(
                f"pool {view.name} has {sizes.show(view.available)} left to promise, "
                f"{sizes.show(candidate.need)} were asked for"
            )
        else:
            able.append(candidate)
    if able:
        return max(able, key=lambda one: (-_rank(one.view, preferred), one.view.available, one.view.id))
    message = f"no pool can take {what}: " + ("; ".join(reasons) or "none is in the wanted topology and class")
    if short:
        raise errors.NoSpace(message)
    if candidates and all(candidate.refusal for candidate in candidates):
        raise errors.InvalidArgument(message)
    raise errors.Unplaceable(message)


def _rank(view: PoolView, preferred: Sequence[dict[str, str]]) -> int:
    for rank, wanted in enumerate(preferred):
        if in_topology(view.topology, [wanted]):
            return rank
    return len(preferred)
