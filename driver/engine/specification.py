"""A CreateVolume request, read: what kind of volume it wants, and whether an existing one is that volume."""

from collections.abc import Sequence

import msgspec

from ..backends import base
from ..model import errors, ids
from ..model.capability import AccessMode, Capability
from ..model.volume import Kind, Volume, VolumeRequest
from . import placement


class Wanted(msgspec.Struct, frozen=True):
    """The checked essence of a request's capabilities."""

    kind: Kind
    fs_type: str


def read(request: VolumeRequest) -> Wanted:
    """InvalidArgument naming the field when the request contradicts itself."""
    ids.checked_name(request.name, "the volume")
    request.size.checked(f"volume {request.name}")
    return wanted_by(request.capabilities, request.parameters, f"volume {request.name}")


def wanted_by(capabilities: Sequence[Capability], parameters: dict[str, str], what: str) -> Wanted:
    """Kind and filesystem that ``capabilities`` and ``parameters`` agree on; an empty fs_type is the backend's choice."""
    if not capabilities:
        raise errors.InvalidArgument(f"{what} has no volume_capabilities; at least one is required")
    accesses = {capability.access for capability in capabilities}
    if len(accesses) > 1:
        raise errors.InvalidArgument(f"{what} is asked for both as mount and as block; a volume is one of them")
    for capability in capabilities:
        if capability.mode is AccessMode.UNKNOWN:
            raise errors.InvalidArgument(f"a capability of {what} has no access mode; one is required")
    if accesses == {"block"}:
        return Wanted("block", "")
    named = {capability.fs_type for capability in capabilities if capability.fs_type}
    named |= {placement.fs_type_of(parameters)} - {""}
    if len(named) > 1:
        raise errors.InvalidArgument(f"{what} is asked for with several filesystems: {', '.join(sorted(named))}")
    return Wanted("filesystem", named.pop() if named else "")


def check_same(volume: Volume, request: VolumeRequest, wanted: Wanted, topology: dict[str, str]) -> None:
    """AlreadyExists, saying in what, when ``request`` asks for something else than what its name holds (CSI CreateVolume)."""
    differences = []
    if not request.size.holds(volume.size):
        differences.append(
            f"it has {volume.size} bytes, {request.size.required} to {request.size.limit or 'any'} are asked for"
        )
    if wanted.kind != volume.kind:
        differences.append(f"it is a {volume.kind} volume, {wanted.kind} is asked for")
    elif wanted.fs_type and wanted.fs_type != volume.fs_type:
        differences.append(f"its filesystem is {volume.fs_type or 'the pool’s own'}, {wanted.fs_type} is asked for")
    if request.parameters != volume.asked:
        differences.append("its parameters differ")
    if request.mutable != volume.asked_mutable:
        differences.append("its mutable parameters differ")
    if request.source != volume.source:
        differences.append(
            f"it was made from {_words(volume)}, "
            f"{request.source.kind + ' ' + request.source.id if request.source else 'an empty one'} is asked for"
        )
    if not placement.in_topology(topology, request.requisite):
        differences.append(f"it is reachable from {topology}, outside the wanted topology")
    if differences:
        raise errors.AlreadyExists(f"volume {volume.name} exists: " + "; ".join(differences))


def _words(volume: Volume) -> str:
    return f"{volume.source.kind} {volume.source.id}" if volume.source else "nothing"


def refuse_capabilities(volume: Volume, capabilities: Sequence[Capability]) -> str:
    """Why ``volume`` cannot be reached in one of these ways, or an empty string."""
    for capability in capabilities:
        if capability.mode is AccessMode.UNKNOWN:
            return "a capability has no access mode"
        asked = "block" if capability.access == "block" else "filesystem"
        if asked != volume.kind:
            return f"volume {volume.id} is a {volume.kind} volume, not {asked}"
        if capability.fs_type and volume.fs_type and capability.fs_type != volume.fs_type:
            return f"volume {volume.id} has filesystem {volume.fs_type}, not {capability.fs_type}"
    return ""


def need_ability(backend: base.Backend, pool_name: str, protocol: type, word: str, able: Sequence[str]) -> None:
    """FailedPrecondition naming pool, ability and the pools that have it, unless ``backend`` satisfies ``protocol``."""
    if not isinstance(backend, protocol):
        where = f"; pools that can: {', '.join(able)}" if able else "; no pool here can"
        raise errors.FailedPrecondition(f"pool {pool_name} ({backend.kind}) cannot {word}{where}")
