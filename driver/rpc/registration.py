"""The kubelet registration socket: kubelet watches a directory, and asks whoever serves a socket there what it is.

Kubelet takes the appearance of a socket as the wish to be registered, and its disappearance as the end of the plugin. It
reads the directory anew when it starts, and asks again after its Node object was made anew, so all there is to do is that
the socket is there, and new after a refusal.
"""

import asyncio
import contextlib
import os

import grpc
import structlog

from csi.pluginregistration.v1 import pluginregistration_pb2 as pb
from csi.pluginregistration.v1 import pluginregistration_pb2_grpc as stubs

from ..model import errors
from . import sockets
from .interceptor import Context

VERSIONS = ("1.0.0",)
"""What kubelet knows of CSI's versions: its plugin protocol, not the specification's number."""
LEAST, MOST = 1.0, 60.0
"""Seconds the socket stays away after a refusal, doubling until kubelet accepts."""
LOOK = 2.0
"""Seconds between two looks at whether the socket is still there, or can be made."""
GRACE = 1.0
"""Seconds for the answer to a refusal."""

log = structlog.get_logger()


class Registration:
    """``<directory>/<driver_name>-reg.sock``, kept there from ``start`` to ``stop``; nothing that goes wrong is raised.

    ``csi_socket`` is the path where kubelet finds the CSI socket. It answers before this one is made.
    """

    def __init__(self, directory: str, driver_name: str, csi_socket: str) -> None:
        self._path, self._hidden = paths(directory, driver_name)
        self._service = _Service(driver_name, csi_socket)
        self._server: grpc.aio.Server | None = None
        self._identity = (0, 0)
        self._trouble = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The socket is being made, and made again whenever it is gone."""
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """The socket is gone: kubelet sends nobody here any more."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._remove()

    async def _keep(self) -> None:
        while True:
            try:
                await self._make()
                await self._until_over()
                await self._remove()
            except Exception as error:
                self._failed(error)
                await self._remove()
                await asyncio.sleep(LOOK)
                continue
            await asyncio.sleep(self._service.pause())

    async def _make(self) -> None:
        """Served, then at its path: who finds the socket is answered. DomainError, OSError."""
        for path in (self._path, self._hidden):
            sockets.make_way(path)
        self._server = grpc.aio.server()
        stubs.add_RegistrationServicer_to_server(self._service, self._server)
        try:
            self._server.add_insecure_port(sockets.address(self._hidden))
        except RuntimeError as error:
            raise errors.HostFailed(f"cannot listen on {self._hidden}: {error}") from error
        os.chmod(self._hidden, 0o600)
        self._service.refused.clear()
        await self._server.start()
        # Unlike a rename, a link takes nobody's place. And gRPC, which removes the name it knows, knows only the other.
        os.link(self._hidden, self._path)
        found = os.lstat(self._path)
        self._identity = found.st_dev, found.st_ino
        os.unlink(self._hidden)
        self._trouble = ""
        log.info("waiting for kubelet", socket=self._path)

    async def _until_over(self) -> None:
        """Returns when kubelet refused, or when the socket is not at its path any more."""
        while not self._service.refused.is_set():
            if not self._is_there():
                log.warning("registration socket is gone", socket=self._path, message="it is made again")
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._service.refused.wait(), LOOK)

    def _is_there(self) -> bool:
        """Whether ours is the socket at the path. As long as it is open, no other file has its inode number."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    async def _remove(self) -> None:
        """Whatever of ours is there; not what somebody else put in its place."""
        server, self._server = self._server, None
        if server is None:
            return
        if self._is_there():
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        self._identity = (0, 0)
        await server.stop(GRACE)
        with contextlib.suppress(OSError):
            os.unlink(self._hidden)

    def _failed(self, error: Exception) -> None:
        """Said once, and again when it becomes something else."""
        message = error.message if isinstance(error, errors.DomainError) else str(error) or repr(error)
        if message != self._trouble:
            exc_info = None if isinstance(error, errors.DomainError | OSError) else error
            log.error("cannot offer to register", message=message, again_in_seconds=LOOK, exc_info=exc_info)
        self._trouble = message


def paths(directory: str, driver_name: str) -> tuple[str, str]:
    """Where the socket lies, and where it is made: kubelet looks at no name that begins with a dot.

    InvalidArgument when they are longer than a socket's path may be.
    """
    name = f"{driver_name}-reg.sock"
    return sockets.path_of(f"{directory.rstrip('/')}/{name}"), sockets.path_of(f"{directory.rstrip('/')}/.{name}")


class _Service(stubs.RegistrationServicer):
    """What kubelet is told, and what it says. Not behind the interceptor: CSI's limits are not kubelet's."""

    def __init__(self, driver_name: str, csi_socket: str) -> None:
        self.refused = asyncio.Event()
        self._info = pb.PluginInfo(type="CSIPlugin", name=driver_name, endpoint=csi_socket, supported_versions=VERSIONS)
        self._refusals = 0

    async def GetInfo(self, request: pb.InfoRequest, context: Context) -> pb.PluginInfo:
        return self._info

    async def NotifyRegistrationStatus(
        self, request: pb.RegistrationStatus, context: Context
    ) -> pb.RegistrationStatusResponse:
        if request.plugin_registered:
            self._refusals = 0
            log.info("registered with kubelet", endpoint=self._info.endpoint)
        elif not self.refused.is_set():
            self._refusals += 1
            self.refused.set()
            log.error("kubelet refused", message=request.error[:2000], again_in_seconds=self.pause())
        return pb.RegistrationStatusResponse()

    def pause(self) -> float:
        """Seconds to stay away; none unless the last word was a refusal."""
        return min(MOST, LEAST * 2 ** min(self._refusals - 1, 10)) if self.refused.is_set() else 0.0
