"""What an RPC is about, for its log line: the ids and paths in its request, and the id of what it made."""

from google.protobuf.message import Message

from csi.v1 import csi_pb2 as csi

_FIELDS = (
    "name",
    "id",
    "volume_id",
    "snapshot_id",
    "group_snapshot_id",
    "source_volume_id",
    "base_snapshot_id",
    "target_snapshot_id",
    "node_id",
    "staging_target_path",
    "target_path",
    "volume_path",
    "path",
)

_present: dict[str, tuple[str, ...]] = {}


def of(request: Message) -> dict[str, str]:
    """Field and value of every id, name and path in ``request``; none of them is a secret."""
    name = request.DESCRIPTOR.full_name
    fields = _present.get(name)
    if fields is None:
        fields = _present[name] = tuple(one for one in _FIELDS if one in request.DESCRIPTOR.fields_by_name)
    found = {one: value for one in fields if (value := getattr(request, one))}
    if isinstance(request, csi.CreateVolumeRequest) and request.HasField("volume_content_source"):
        source = request.volume_content_source
        found["source_id"] = source.snapshot.snapshot_id or source.volume.volume_id
    return found


def made_by(response: Message) -> dict[str, str]:
    """The id of what was created, which the request does not hold."""
    match response:
        case csi.CreateVolumeResponse():
            return {"volume_id": response.volume.volume_id}
        case csi.CreateSnapshotResponse():
            return {"snapshot_id": response.snapshot.snapshot_id}
        case csi.CreateVolumeGroupSnapshotResponse():
            return {"group_snapshot_id": response.group_snapshot.group_snapshot_id}
    return {}
