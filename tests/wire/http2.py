"""Just enough HTTP/2 and gRPC, by hand, to send what no gRPC library would (RFC 9113, RFC 7541)."""

import socket
import struct
from collections.abc import Sequence

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _RST = 0, 1, 4, 6, 7, 3
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1

Header = tuple[bytes, bytes]


def answer(path: str, headers: Sequence[Header], body: bytes = b"", patience: float = 5.0) -> bytes | None:
    """The first message answered to one unary call with ``headers`` as they stand; None when it was refused."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(patience)
        connection.connect(path)
        block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)
        message = struct.pack(">BI", 0, len(body)) + body
        connection.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, b"")
            + _frame(_HEADERS, _END_HEADERS, 1, block)
            + _frame(_DATA, _END_STREAM, 1, message)
        )
        return _first_message(connection)


def _first_message(connection: socket.socket) -> bytes | None:
    received = b""
    while True:
        kind, flags, payload = _read(connection)
        if kind == _DATA:
            received += payload
        elif kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind in (_GOAWAY, _RST) or (kind == _HEADERS and flags & _END_STREAM):
            return received[5:] if received else None


def _read(connection: socket.socket) -> tuple[int, int, bytes]:
    head = _exactly(connection, 9)
    return head[3], head[4], _exactly(connection, int.from_bytes(head[:3], "big"))


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("closed by the server")
        data += part
    return data


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _text(text: bytes) -> bytes:
    """A string literal without Huffman coding (RFC 7541, 5.2)."""
    size, rest = bytearray(), len(text)
    if rest < 127:
        return bytes((rest,)) + text
    size.append(127)
    rest -= 127
    while rest >= 128:
        size.append(rest % 128 + 128)
        rest //= 128
    size.append(rest)
    return bytes(size) + text
