"""Random requests from the protocol's descriptors: right often enough to reach the depths, wrong often enough to hurt."""

import random
import string
import zlib
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from csi.v1 import csi_pb2 as csi

MIB = 1 << 20
SECRET = "hunter2-do-not-show"
"""The value of every secret that is sent: it must be nowhere in the log."""

_NUMBERS = (
    0,
    1,
    -1,
    7,
    511,
    4095,
    4096,
    MIB,
    4 * MIB,
    64 * MIB,
    2**31 - 1,
    -(2**31),
    2**31,
    2**40,
    2**62,
    2**63 - 1,
    -(2**63),
)
_SIZES = (0, 1, 4096, MIB, 4 * MIB, 16 * MIB, 64 * MIB)
_HOSTILE = (
    "",
    ".",
    "..",
    "../../../etc/passwd",
    "/",
    "a/b",
    "p0123456789ab.v-" + "0" * 24,
    "p0123456789ab.s-" + "0" * 24,
    "p0123456789ab.v-../../x-" + "0" * 24,
    "x" * 128,
    "x" * 129,
    "x" * 5000,
    "ü" * 64,
    "🦔" * 40,
    "nul\0nul",
    "line\nline",
    "\x1b[31m",
    "-rf",
    "--help",
    "$(id)",
    "%s%n",
    "'; DROP TABLE volume; --",
    "*",
    "~",
    "\u202egnp.exe",
    "~" * 20,
)
_PARAMETERS = {
    "pool": ("shared", "copied", "sub", "dir", "none"),
    "backend": ("image", "btrfs", "directory", "none"),
    "deviceType": ("ssd", "hdd", ""),
    "wipe": ("none", "zero", "discard", "all"),
    "provisioning": ("thin", "thick", "fat"),
    "compression": ("none", "zstd", "lzo", "x"),
    "fsType": ("ext4", "xfs", "btrfs", "ntfs"),
    "csi.storage.k8s.io/fstype": ("ext4", "xfs", "vfat"),
    "csi.storage.k8s.io/ephemeral": ("true", "false", "maybe"),
    "csi.storage.k8s.io/pvc/name": ("claim",),
    "size": ("4MiB", "-1", "1e9", ""),
}
_FLAGS = (
    "ro",
    "rw",
    "noatime",
    "nosuid",
    "exec",
    "remount",
    "bind",
    "loop=/etc/passwd",
    "uid=0",
    "\0",
    "a,b",
    "x" * 100,
)


_SELDOM = {
    "volume_content_source": 0.25,
    "accessibility_requirements": 0.15,
    "accessible_topology": 0.2,
    "mount_flags": 0.1,
    "volume_mount_group": 0.0,
    "fs_type": 0.3,
    "starting_token": 0.3,
    "secrets": 0.2,
    "parameters": 0.7,
    "mutable_parameters": 0.2,
    "volume_context": 0.0,
    "publish_context": 0.0,
    "limit_bytes": 0.0,
    "preferred": 0.0,
    "source_volume_id": 0.6,
    "repair": 0.3,
}
"""How often a sensible request has a field; 1 unless named."""


class Guesser:
    """One seeded source of requests. What was made is offered again: ``known`` holds ids by kind."""

    def __init__(self, seed: int, sandbox: Path) -> None:
        self._random = random.Random(seed)
        self._sandbox = sandbox
        self.known: dict[str, list[str]] = {"volume": [], "snapshot": [], "group": [], "token": [], "task": []}
        self._wildness = 0.0
        self._access = "mount"
        self._subject = ""

    def request(self, kind: type[Message]) -> Any:
        """A message of that kind: sensible half of the time, with one thing wrong or with many otherwise."""
        self._wildness = self._random.choice((0.0, 0.0, 0.0, 0.06, 0.06, 0.4))
        self._access = self._random.choice(("mount", "mount", "mount", "block"))
        self._subject = ""
        return self._fill(kind())

    def learn(self, response: Message) -> None:
        """Ids and tokens in ``response`` are worth asking about."""
        for field, value in response.ListFields():
            for one in value if field.is_repeated and not _is_map(field) else (value,):
                if isinstance(one, Message):
                    self.learn(one)
            kinds = {"volume_id": "volume", "snapshot_id": "snapshot", "group_snapshot_id": "group"}
            if kind := kinds.get(field.name, "token" if field.name == "next_token" else ""):
                self._keep(kind, value)

    def _keep(self, kind: str, value: str) -> None:
        kept = self.known[kind]
        if value not in kept:
            kept.append(value)
            del kept[:-12]

    def _wild(self) -> bool:
        return self._random.random() < self._wildness

    def _fill(self, message: Any) -> Any:
        for oneof in message.DESCRIPTOR.oneofs:
            if not self._wild():
                self._set(message, self._one_of(oneof.fields))
        for field in message.DESCRIPTOR.fields:
            if field.containing_oneof is None:
                often = self._random.random() if self._wild() else _SELDOM.get(field.name, 1.0)
                if self._random.random() < often:
                    self._set(message, field)
        return message

    def _one_of(self, fields: Any) -> FieldDescriptor:
        meant = [field for field in fields if field.name == self._access and not self._wild()]
        return self._pick(meant or fields)

    def _set(self, message: Any, field: FieldDescriptor) -> None:
        if _is_map(field):
            self._set_map(getattr(message, field.name), field)
        elif field.is_repeated:
            for _ in range(self._random.choice((0, 1, 2, 3) if self._wild() else (1, 1, 1, 2))):
                if field.message_type is not None:
                    self._fill(getattr(message, field.name).add())
                else:
                    getattr(message, field.name).append(self._scalar(field))
        elif field.message_type is not None:
            getattr(message, field.name).SetInParent()
            self._fill(getattr(message, field.name))
        else:
            setattr(message, field.name, self._scalar(field))

    def _set_map(self, held: Any, field: FieldDescriptor) -> None:
        if self._wild():
            held[self._hostile()] = self._hostile()
        if field.name == "secrets":
            held["password"] = SECRET
        elif field.name == "segments":
            held["holdall.csi.dev/node"] = self._pick(("node-a", "node-b", "")) if self._wild() else "node-a"
        elif field.name == "parameters" and not self._wild():
            held["pool"] = self._pick(("shared", "copied", "sub", "dir"))
        elif field.name == "mutable_parameters" and not self._wild():
            held["wipe"] = "none"
        else:
            for key in self._random.sample(sorted(_PARAMETERS), self._random.choice((0, 1, 2))):
                held[key] = self._pick(_PARAMETERS[key])

    def _scalar(self, field: FieldDescriptor) -> Any:
        if field.type == FieldDescriptor.TYPE_BOOL:
            return self._random.random() < 0.3
        if field.type == FieldDescriptor.TYPE_ENUM:
            return self._pick((0, 99, -1)) if self._wild() else self._pick(field.enum_type.values[1:]).number
        if field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64):
            return self._number(field)
        return self._hostile() if self._wild() else self._text(field.name)

    def _number(self, field: FieldDescriptor) -> int:
        if field.name in ("max_entries", "max_results", "starting_offset") and not self._wild():
            return self._pick((0, 0, 1, 2, 4096))
        number = self._pick(_NUMBERS if self._wild() else _SIZES)
        bits = 31 if field.type == FieldDescriptor.TYPE_INT32 else 63
        return max(-(2**bits), min(number, 2**bits - 1))

    def _text(self, name: str) -> str:
        choices = {
            "mount_flags": _FLAGS,
            "fs_type": ("ext4", "xfs", "btrfs", ""),
            "node_id": ("node-a",),
            "starting_token": self.known["token"] or [""],
        }
        if name in choices:
            return self._pick(choices[name])
        if "path" in name:
            return self._path(name)
        return self._id(name)

    def _id(self, name: str) -> str:
        if name == "name":
            return f"fuzz-{self._pick(string.ascii_lowercase[:20])}"
        for kind in ("group", "snapshot", "volume"):
            if kind in name and self.known[kind]:
                self._subject = self._pick(self.known[kind])
                return self._subject
        return self._hostile()

    def _path(self, name: str) -> str:
        """Inside the sandbox only: what a confused driver could do to the rest of the machine is not worth the proof."""
        if self._wild():
            return str(self._sandbox / self._pick(_PATHS))
        # A volume has places of its own, as with a CO that keeps its books: no two are ever staged at one path.
        own = f"{zlib.crc32(self._subject.encode('utf-8', 'replace')):08x}"
        if "staging" in name or (name == "volume_path" and self._random.random() < 0.3):
            place = self._sandbox / "staging" / own
            place.mkdir(exist_ok=True)
            return str(place)
        return str(self._sandbox / f"targets/{own}-{self._random.randrange(2)}")

    def _hostile(self) -> str:
        text = self._pick(_HOSTILE)
        return (
            "".join(self._random.sample(text, len(text)))
            if 3 < len(text) < 30 and self._random.random() < 0.2
            else text
        )

    def _pick(self, among: Any) -> Any:
        return self._random.choice(among)


_PATHS = (
    "precious",
    "precious/file",
    "link",
    "link/file",
    "absent/deep/x",
    "targets/../precious",
    "targets/./0",
    "targets//1",
    "",
    "x" * 255,
    "x" * 256,
    "targets/new\nline",
    "targets/ü",
)
"""Beside the places a CO makes: a directory with a file that must survive, a link to it, and what cannot be."""


def furnish(sandbox: Path) -> None:
    """What a CO makes, and what nobody may touch."""
    (sandbox / "staging").mkdir()
    (sandbox / "targets").mkdir()
    (sandbox / "precious").mkdir()
    (sandbox / "precious" / "file").write_text("precious")
    (sandbox / "link").symlink_to("precious")


def untouched(sandbox: Path) -> bool:
    """Whether what nobody may touch was not."""
    held = sandbox / "precious"
    return (
        (held / "file").read_text() == "precious" and len(list(held.iterdir())) == 1 and (sandbox / "link").is_symlink()
    )


def methods(service: str) -> list[tuple[str, type[Message]]]:
    """Name and request of each RPC of a CSI service."""
    found = csi.DESCRIPTOR.services_by_name[service].methods
    return [(one.name, GetMessageClass(one.input_type)) for one in found]


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
