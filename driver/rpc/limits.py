"""CSI's general size limits, for every field of every request, read off the descriptors.

Strings have at most 128 bytes and no control characters, maps at most 4 KiB of keys and values together ("Size Limits"
of the specification), unless a field is named below.
"""

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ..model import errors

STRING = 128
MAP = 4096
PATH = 4095
"""PATH_MAX less its end (path_resolution(7)): the specification frees paths from the 128 bytes and sets no other bound."""
NAME = 255
"""NAME_MAX, for every component of a path."""

_LONGER = {
    "staging_target_path": PATH,
    "target_path": PATH,
    "volume_path": PATH,
    "volume_publish_path": PATH,
    "path": PATH,
    "node_id": 256,
    "token": 16384,
    "certificate_request": 16384,
}
_TOGETHER = {"mount_flags": 4096}
"""Repeated strings that are bounded by their sum."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def check(message: Message, prefix: str = "") -> None:
    """Nothing, or InvalidArgument naming the first field of ``message`` that is too long or holds control characters."""
    for field, value in message.ListFields():
        where = f"{prefix}{field.name}"
        if field.type == FieldDescriptor.TYPE_STRING:
            _check_strings(field, value, where)
        elif field.message_type is None:
            continue
        elif field.message_type.GetOptions().map_entry:
            _check_map(value, where)
        elif field.is_repeated:
            for number, one in enumerate(value):
                check(one, f"{where}[{number}].")
        else:
            check(value, f"{where}.")


def _check_strings(field: FieldDescriptor, value: Any, where: str) -> None:
    if not field.is_repeated:
        _check_string(value, _LONGER.get(field.name, STRING), where)
        return
    together = _TOGETHER.get(field.name)
    for number, one in enumerate(value):
        _check_string(one, together or STRING, f"{where}[{number}]")
    if together and (size := sum(_size(one) for one in value)) > together:
        raise errors.InvalidArgument(f"{where} has {size} bytes together; at most {together} are allowed")


def _check_string(value: str, limit: int, where: str) -> None:
    # A character has at most four bytes in UTF-8, so most strings need no encoding to be known short.
    if len(value) * 4 > limit and (size := _size(value)) > limit:
        raise errors.InvalidArgument(f"{where} has {size} bytes; at most {limit} are allowed")
    if limit == PATH and max(map(_size, value.split("/"))) > NAME:
        raise errors.InvalidArgument(f"{where} has a component of more than {NAME} bytes, which no filesystem takes")
    if not value.isprintable() and _CONTROL.search(value):
        raise errors.InvalidArgument(f"{where} contains control characters")


def _check_map(value: Any, where: str) -> None:
    size = 0
    for key, one in value.items():
        if not isinstance(one, str):
            continue
        size += _size(key) + _size(one)
        if _CONTROL.search(key) or "\0" in one:
            raise errors.InvalidArgument(f"{where} contains control characters")
    if size > MAP:
        raise errors.InvalidArgument(f"{where} has {size} bytes of keys and values; at most {MAP} are allowed")


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
