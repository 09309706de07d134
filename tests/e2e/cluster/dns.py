"""The cluster's name server: Services by their names, asked of the API; ``python -m tests.e2e.cluster.dns DIRECTORY ADDRESS``.

CoreDNS would be one more program to build for the one thing pods here ask: ``SERVICE.NAMESPACE.svc.cluster.local``.
"""

import ipaddress
import json
import socketserver
import ssl
import struct
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from .control_plane import ApiServer

DOMAIN = "cluster.local"
_A, _IN, _TTL = 1, 1, 5
_NO_ERROR, _SERVER_FAILURE, _NO_NAME = 0, 2, 3


class Names:
    """What Services' names stand for; answers from memory while the API is away, as CoreDNS does."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._context = ssl.create_default_context(cafile=str(api.ca_file))
        self._known: dict[str, list[str] | None] = {}

    def addresses(self, name: str) -> list[str] | None:
        """The IPv4 addresses of a name (its Service's, or its pods' when headless); None when there is no such Service.

        OSError when the API does not answer and the name was never asked for before.
        """
        labels = name.removesuffix(f".{DOMAIN}").split(".") if name.endswith(f".{DOMAIN}") else []
        if len(labels) != 3 or labels[2] != "svc":
            return None
        try:
            self._known[name] = self._ask(labels[0], labels[1])
        except OSError:
            if name not in self._known:
                raise
        return self._known[name]

    def _ask(self, service: str, namespace: str) -> list[str] | None:
        try:
            found = self._get(f"/api/v1/namespaces/{namespace}/services/{service}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        address = found["spec"].get("clusterIP", "None")
        if address != "None":
            return [address]
        where = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        slices = self._get(f"{where}?labelSelector=kubernetes.io/service-name%3D{service}")["items"]
        ready = (e for one in slices for e in one["endpoints"] or () if e.get("conditions", {}).get("ready", True))
        return [address for endpoint in ready for address in endpoint["addresses"]]

    def _get(self, path: str) -> dict[str, Any]:
        request = urllib.request.Request(self._api.url + path, headers={"Authorization": f"Bearer {self._api.token}"})
        with urllib.request.urlopen(request, timeout=3, context=self._context) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


def answer(query: bytes, names: Names) -> bytes:
    """The response to one query (RFC 1035 section 4). ValueError when it is not one."""
    if len(query) < 17:
        raise ValueError(f"a DNS query has 17 bytes at least, this one {len(query)}")
    identity, flags = struct.unpack("!HH", query[:4])
    name, end = _name(query)
    kind, family = struct.unpack("!HH", query[end : end + 4])
    code, found = _NO_ERROR, None
    try:
        found = names.addresses(name)
        if found is None:
            code = _NO_NAME
    except OSError:
        code = _SERVER_FAILURE
    chosen = found or [] if (kind, family) == (_A, _IN) else []
    # QR, AA and RA; RD as asked.
    header = struct.pack("!HHHHHH", identity, 0x8480 | flags & 0x0100 | code, 1, len(chosen), 0, 0)
    records = (
        # The name is the question's, at offset 12.
        struct.pack("!HHHIH", 0xC00C, _A, _IN, _TTL, 4) + ipaddress.IPv4Address(address).packed
        for address in chosen
    )
    return header + query[12 : end + 4] + b"".join(records)


def _name(query: bytes) -> tuple[str, int]:
    """The question's name in lower case, and where it ends."""
    labels, at = [], 12
    while at < len(query) and (length := query[at]):
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
    if at + 5 > len(query):
        raise ValueError("a DNS question that goes on after the message's end")
    return ".".join(labels), at + 1


def main() -> None:
    directory, address = Path(sys.argv[1]), sys.argv[2]
    names = Names(ApiServer(directory, address=address))

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            message, socket = self.request
            try:
                socket.sendto(answer(message, names), self.client_address)
            except ValueError as error:
                print(f"{self.client_address[0]}: {error}", flush=True)

    with socketserver.ThreadingUDPServer((address, 53), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
