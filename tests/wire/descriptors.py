"""Descriptors as flat facts, so that two versions of a protocol can be compared and a difference named."""

from collections.abc import Iterator

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet


def compiled(file: FileDescriptor) -> FileDescriptorProto:
    """What a stub serves, with the JSON names that protoc leaves out of stubs because the runtime derives them."""
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    for message in proto.message_type:
        _add_json_names(message, f"{proto.package}.{message.name}", file.pool)
    for extension in proto.extension:
        extension.json_name = file.pool.FindExtensionByName(f"{proto.package}.{extension.name}").json_name
    return proto


def _add_json_names(message: DescriptorProto, name: str, pool: DescriptorPool) -> None:
    for field in message.field:
        field.json_name = pool.FindFieldByName(f"{name}.{field.name}").json_name
    for nested in message.nested_type:
        _add_json_names(nested, f"{name}.{nested.name}", pool)


def differences(published: FileDescriptorProto, ours: FileDescriptorProto) -> list[str]:
    """Every fact in which the two differ, by the name of its element; where the file lies is not one."""
    expected, actual = _facts(published), _facts(ours)
    return [
        f"{name}: published {expected.get(name, 'nothing')}, ours {actual.get(name, 'nothing')}"
        for name in sorted(expected.keys() | actual.keys())
        if expected.get(name) != actual.get(name)
    ]


def _facts(file: FileDescriptorProto) -> dict[str, object]:
    bare = FileDescriptorProto()
    bare.CopyFrom(file)
    bare.ClearField("name")
    bare.ClearField("source_code_info")
    return dict(_walk(bare, file.package))


def _walk(message: Message, where: str) -> Iterator[tuple[str, object]]:
    # Presence is a fact of its own: an element without contents must not go missing unseen.
    yield where, "present"
    for descriptor, value in message.ListFields():
        name = f"{where}.({descriptor.name})" if descriptor.is_extension else f"{where}/{descriptor.name}"
        if descriptor.type != FieldDescriptorProto.TYPE_MESSAGE:
            yield name, tuple(value) if descriptor.is_repeated else value
        elif descriptor.is_repeated:
            # By name where there is one: the order of declarations is not on the wire.
            for index, item in enumerate(value):
                yield from _walk(item, f"{name} {getattr(item, 'name', None) or index}")
        else:
            yield from _walk(value, name)
    # An option that no loaded extension explains.
    for unknown in UnknownFieldSet(message):
        yield f"{where}/unknown {unknown.field_number}", unknown.data
