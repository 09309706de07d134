"""What must not be shown: fields the protocol marks ``csi_secret``, wherever they sit in a message.

Found by the field option, never by a name: a new secret of the specification is cut as soon as its descriptor says so.
Mount flags are not shown either; the specification calls them possibly sensitive.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from csi.v1 import csi_pb2 as csi

CUT = "***"
_FLAGS = csi.VolumeCapability.MountVolume.DESCRIPTOR.fields_by_name["mount_flags"].full_name
_LEAST = 3
"""A secret shorter than this many characters is not searched for in messages: it would blot out half of them."""

_secret: dict[str, frozenset[int]] = {}


def fields_of(message: Message) -> frozenset[int]:
    """Numbers of the fields of this kind of message that are secret."""
    name = message.DESCRIPTOR.full_name
    if name not in _secret:
        _secret[name] = frozenset(
            field.number for field in message.DESCRIPTOR.fields if field.GetOptions().Extensions[csi.csi_secret]
        )
    return _secret[name]


def printable(message: Message) -> dict[str, Any]:
    """``message`` as plain values, set fields only; of a secret, the keys of a map and ``***`` for every value."""
    hidden = fields_of(message)
    return {
        field.name: _cut(value) if field.number in hidden or field.full_name == _FLAGS else _plain(field, value)
        for field, value in message.ListFields()
    }


def scrub(text: str, message: Message) -> str:
    """``text`` without any secret value of ``message``, should an error have quoted one."""
    for secret in sorted(set(_values(message)), key=len, reverse=True):
        if len(secret) >= _LEAST:
            text = text.replace(secret, CUT)
    return text


def _values(message: Message) -> Iterator[str]:
    hidden = fields_of(message)
    for field, value in message.ListFields():
        if field.number in hidden:
            yield from _strings(value)
        elif field.full_name == _FLAGS:
            yield from (flag.partition("=")[2] for flag in value)
        elif not _is_map(field) and field.message_type is not None:
            for one in value if field.is_repeated else (value,):
                yield from _values(one)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str | bytes):
        yield value if isinstance(value, str) else value.decode("utf-8", "replace")
    elif hasattr(value, "values"):
        yield from (str(one) for one in value.values())
    elif isinstance(value, Iterable):
        yield from (str(one) for one in value)


def _cut(value: Any) -> Any:
    if isinstance(value, str | bytes):
        return CUT
    if hasattr(value, "keys"):
        return dict.fromkeys(value, CUT)
    return [CUT] * len(value) if hasattr(value, "__len__") else CUT


def _plain(field: FieldDescriptor, value: Any) -> Any:
    if _is_map(field):
        return {str(key): printable(one) if isinstance(one, Message) else one for key, one in value.items()}
    if field.is_repeated:
        return [printable(one) if isinstance(one, Message) else one for one in value]
    if isinstance(value, Message):
        return printable(value)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return named.name if named else value
    return value


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
