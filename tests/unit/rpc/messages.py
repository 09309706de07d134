"""Every message of the protocols we serve, and how to fill one: what the tests of the edge go through."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from csi.holdall.v1 import holdall_pb2
from csi.v1 import csi_pb2

FILES = (csi_pb2.DESCRIPTOR, holdall_pb2.DESCRIPTOR)


def requests() -> Iterator[type[Message]]:
    """The request of every RPC."""
    for file in FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                yield GetMessageClass(method.input_type)


def filled(kind: type[Message], text: str) -> Any:
    """A message of that kind in which every string at any depth, keys aside, is ``text``."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        _fill(message, field, text)
    return message


def _fill(message: Any, field: FieldDescriptor, text: str) -> None:
    held = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        held["key"] = text
    elif field.message_type is not None:
        inner = filled(GetMessageClass(field.message_type), text)
        if field.is_repeated:
            held.append(inner)
        else:
            held.CopyFrom(inner)
    elif field.type == FieldDescriptor.TYPE_STRING:
        if field.is_repeated:
            held.append(text)
        else:
            setattr(message, field.name, text)
    elif field.type == FieldDescriptor.TYPE_ENUM and not field.is_repeated:
        setattr(message, field.name, 1)


def secret_fields(kind: Descriptor) -> list[str]:
    """The fields of ``kind`` that the protocol marks ``csi_secret``."""
    return [one.name for one in kind.fields if one.GetOptions().Extensions[csi_pb2.csi_secret]]
