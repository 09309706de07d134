"""PersistentVolumes of the driver: which volume each is, and whose claim."""

import msgspec

from ..model import ids
from .api import Object
from .events import Subject

PATH = "/api/v1/persistentvolumes"


class Volume(msgspec.Struct, frozen=True):
    """What is kept of a PersistentVolume of ours. ``claim``: its claim, None for none."""

    volume_id: str
    claim: Subject | None

    @property
    def pool_id(self) -> str:
        """Empty for a handle that is no id of ours."""
        parts = ids.split(self.volume_id)
        return parts[0] if parts else ""


def volume(found: Object, driver_name: str) -> Volume | None:
    """None for another driver's."""
    spec = found.get("spec") or {}
    source = spec.get("csi") or {}
    if source.get("driver") != driver_name:
        return None
    claim = spec.get("claimRef")
    return Volume(str(source.get("volumeHandle") or ""), _subject(claim) if claim else None)


def _subject(claim: Object) -> Subject:
    return Subject(
        "v1",
        "PersistentVolumeClaim",
        str(claim.get("name") or ""),
        str(claim.get("uid") or ""),
        str(claim.get("namespace") or ""),
    )
