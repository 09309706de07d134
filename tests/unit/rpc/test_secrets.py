"""Secrets are cut by the protocol's option, in every message, at any depth."""

import json

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from csi.v1 import csi_pb2 as csi
from driver.rpc import secrets

from .messages import filled, requests, secret_fields

MARK = "hunter2-do-not-show"
KINDS = [kind for kind in requests() if secret_fields(kind.DESCRIPTOR)]


def test_the_protocol_has_secrets_in_many_requests() -> None:
    """The two tests below go through them; an empty list would prove nothing."""
    assert len(KINDS) == 22


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.DESCRIPTOR.name)
def test_no_secret_is_printed(kind: type[Message]) -> None:
    """CSI: fields with ``csi_secret`` must never reach a log. Their keys may: they say what was given."""
    request = kind()
    for name in secret_fields(kind.DESCRIPTOR):
        getattr(request, name)["password"] = MARK

    shown = json.dumps(secrets.printable(request))
    assert MARK not in shown
    assert f'"password": "{secrets.CUT}"' in shown


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.DESCRIPTOR.name)
def test_no_secret_stays_in_an_error_that_quotes_it(kind: type[Message]) -> None:
    """What a store says may repeat what it was given."""
    request = kind()
    for name in secret_fields(kind.DESCRIPTOR):
        getattr(request, name)["password"] = MARK

    assert secrets.scrub(f"login with {MARK} failed", request) == "login with *** failed"


def test_mount_flags_are_not_printed() -> None:
    """CSI: mount_flags may hold sensitive information."""
    request = csi.NodeStageVolumeRequest(volume_id="v")
    request.volume_capability.mount.mount_flags.extend(["noatime", f"password={MARK}"])

    assert secrets.printable(request) == {
        "volume_id": "v",
        "volume_capability": {"mount": {"mount_flags": ["***", "***"]}},
    }
    assert secrets.scrub(f"bad option password={MARK}", request) == "bad option password=***"


def test_a_nested_secret_is_cut() -> None:
    """A later version of the specification may put one into a message inside a message, or into a list of them."""
    inner, outer = _protocol_with_nested_secrets()
    one = inner(token=MARK, plain="seen")
    request = outer(single=one, many=[one])

    cut = {"token": secrets.CUT, "plain": "seen"}
    assert secrets.printable(request) == {"single": cut, "many": [cut]}
    assert secrets.scrub(MARK, request) == secrets.CUT


def test_what_is_no_secret_is_printed_as_it_is() -> None:
    """A debug line must still be of use."""
    request = filled(csi.ControllerPublishVolumeRequest, "text")
    del request.secrets["key"]

    shown = secrets.printable(request)
    assert shown["volume_id"] == "text"
    assert shown["volume_context"] == {"key": "text"}
    assert shown["volume_capability"]["access_mode"] == {"mode": "SINGLE_NODE_WRITER"}


def test_a_secret_of_a_letter_does_not_blot_out_the_message() -> None:
    """Such a value is in every sentence; cutting it would tell it."""
    request = csi.DeleteVolumeRequest(volume_id="v", secrets={"flag": "a", "empty": ""})

    assert secrets.scrub("a volume", request) == "a volume"


def _protocol_with_nested_secrets() -> tuple[type[Message], type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="nested_secrets.proto", package="nested", syntax="proto3", dependency=[csi.DESCRIPTOR.name]
    )
    text, message = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="token", number=1, type=text, label=1).options.Extensions[csi.csi_secret] = True
    inner.field.add(name="plain", number=2, type=text, label=1)
    outer = file.message_type.add(name="Outer")
    outer.field.add(name="single", number=1, type=message, type_name=".nested.Inner", label=1)
    outer.field.add(name="many", number=2, type=message, type_name=".nested.Inner", label=3)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    find = pool.FindMessageTypeByName
    return GetMessageClass(find("nested.Inner")), GetMessageClass(find("nested.Outer"))
