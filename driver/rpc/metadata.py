"""CSI SnapshotMetadata for the pools of this process: streams whose next batch is read when the last one has been sent."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc as stubs

from . import convert
from .interceptor import Context

if TYPE_CHECKING:
    from ..engine.blocks import BlockBatch
    from ..engine.engine import Engine

BATCH = 4096
"""Ranges in a message at most, whatever the caller allows: some 100 KiB."""


class SnapshotMetadata(stubs.SnapshotMetadataServicer):
    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    async def GetMetadataAllocated(
        self, request: csi.GetMetadataAllocatedRequest, context: Context
    ) -> AsyncIterator[csi.GetMetadataAllocatedResponse]:
        snapshot_id = convert.required(request.snapshot_id, "snapshot_id")
        async for batch in self._engine.blocks.allocated(snapshot_id, *_bounds(request)):
            yield csi.GetMetadataAllocatedResponse(
                block_metadata_type=csi.VARIABLE_LENGTH,
                volume_capacity_bytes=batch.volume_size,
                block_metadata=_ranges(batch),
            )

    async def GetMetadataDelta(
        self, request: csi.GetMetadataDeltaRequest, context: Context
    ) -> AsyncIterator[csi.GetMetadataDeltaResponse]:
        base_id = convert.required(request.base_snapshot_id, "base_snapshot_id")
        target_id = convert.required(request.target_snapshot_id, "target_snapshot_id")
        async for batch in self._engine.blocks.delta(base_id, target_id, *_bounds(request)):
            yield csi.GetMetadataDeltaResponse(
                block_metadata_type=csi.VARIABLE_LENGTH,
                volume_capacity_bytes=batch.volume_size,
                block_metadata=_ranges(batch),
            )


def _bounds(request: csi.GetMetadataAllocatedRequest | csi.GetMetadataDeltaRequest) -> tuple[int, int]:
    start = convert.not_negative(request.starting_offset, "starting_offset")
    return start, min(convert.not_negative(request.max_results, "max_results") or BATCH, BATCH)


def _ranges(batch: "BlockBatch") -> list[csi.BlockMetadata]:
    return [csi.BlockMetadata(byte_offset=one.offset, size_bytes=one.length) for one in batch.extents]
