"""CSI Identity: who this is, what it offers, whether it serves yet."""

import importlib.metadata
from collections.abc import Sequence

from google.protobuf.wrappers_pb2 import BoolValue

from csi.v1 import csi_pb2 as csi
from csi.v1 import csi_pb2_grpc as stubs

from . import offered
from .interceptor import Context
from .readiness import Readiness


def version() -> str:
    """The installed version of this driver."""
    try:
        return importlib.metadata.version("holdall")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


class Identity(stubs.IdentityServicer):
    """``driver`` are the service classes of the whole driver: a node's socket announces the controller's as well."""

    def __init__(self, driver_name: str, driver: Sequence[type], readiness: Readiness) -> None:
        self._info = csi.GetPluginInfoResponse(name=driver_name, vendor_version=version())
        self._capabilities = offered.plugin(driver)
        self._readiness = readiness

    async def GetPluginInfo(self, request: csi.GetPluginInfoRequest, context: Context) -> csi.GetPluginInfoResponse:
        return self._info

    async def GetPluginCapabilities(
        self, request: csi.GetPluginCapabilitiesRequest, context: Context
    ) -> csi.GetPluginCapabilitiesResponse:
        return self._capabilities

    async def Probe(self, request: csi.ProbeRequest, context: Context) -> csi.ProbeResponse:
        return csi.ProbeResponse(ready=BoolValue(value=self._readiness.is_ready))
