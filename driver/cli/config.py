"""The configuration file and what stands above it: option over environment over file over default."""

import os
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from ..model import sizes
from ..model.config import DRIVER_NAME, Config, EnrolmentConfig, KubernetesConfig, NodeEndpoint
from ..model.errors import InvalidArgument
from ..model.pool import NAME, PoolConfig
from ..rpc import endpoints, sockets
from . import cluster_config

STATE_DIR = "/var/lib/holdall"
ENDPOINT = "unix:///run/holdall/csi.sock"
LOG_LEVELS = ("debug", "info", "warning", "error")

_PLACES = ("state_dir", "registration_dir")
_DRIVER_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_NODE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_DEVICE_CLASS = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")

T = TypeVar("T", bound=msgspec.Struct)
_Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
_Factor = Annotated[float, msgspec.Meta(gt=0, le=1000)]
_Unset = msgspec.UnsetType


class _Pool(msgspec.Struct):
    """What every ``[[pool]]`` knows; its other keys are the backend's."""

    name: str
    backend: str
    path: str = ""
    device_class: str = ""
    thin_factor: _Factor = 1.0
    floor: int | str = 0
    schedulable: bool = True


class _DefaultPool(msgspec.Struct):
    """What ``[default_pool]`` shares with ``[[pool]]``; its other keys are the image backend's."""

    name: str = "default"
    device_class: str = ""
    thin_factor: _Factor = 1.0
    floor: int | str = 0
    schedulable: bool = True


class _File(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The whole file. Unset is not the same as the default: the environment may still say something."""

    driver_name: str | _Unset = msgspec.UNSET
    node_id: str | _Unset = msgspec.UNSET
    state_dir: str | _Unset = msgspec.UNSET
    endpoint: str | _Unset = msgspec.UNSET
    controller_endpoint: str | _Unset = msgspec.UNSET
    registration_dir: str | _Unset = msgspec.UNSET
    kubelet_endpoint: str | _Unset = msgspec.UNSET
    metrics_address: str | _Unset = msgspec.UNSET
    log_level: str | _Unset = msgspec.UNSET
    max_volumes_per_node: _Count | _Unset = msgspec.UNSET
    freeze_deadline: _Seconds | _Unset = msgspec.UNSET
    pool_threads: Annotated[int, msgspec.Meta(ge=1, le=256)] | _Unset = msgspec.UNSET
    pool_patience: _Seconds | _Unset = msgspec.UNSET
    pool: list[dict[str, Any]] = []
    node: list[NodeEndpoint] = []
    enrolment: EnrolmentConfig | None = None
    kubernetes: KubernetesConfig | None = None
    default_pool: dict[str, Any] = {}


def load(path: str, given: Mapping[str, str]) -> Config:
    """The configuration of a role: ``given`` (options and environment, by key) over the file at ``path`` (empty: none).

    Complete: node id, state directory and endpoint are filled in. Raises InvalidArgument naming the file and the place
    in it, or the option.
    """
    file = _read(path) if path else _File()
    settings = {key: value for key, value in msgspec.structs.asdict(file).items() if value is not msgspec.UNSET}
    for key in ("pool", "node"):
        settings.pop(key)
    _check_default_pool(path, file.default_pool)
    where = {key: f"{path}: $.{key}" for key in settings}
    for key, value in given.items():
        if value:
            # A shell's words are relative to where it stands; a file stands nowhere in particular.
            settings[key] = os.path.abspath(value) if key in _PLACES else value
            where[key] = f"--{key.replace('_', '-')}"
    settings.setdefault("node_id", socket.gethostname())
    settings.setdefault("state_dir", STATE_DIR)
    settings.setdefault("endpoint", ENDPOINT)
    _check(settings, where)
    _check_registration(settings, where)
    _check_remote(settings, where, path)
    if file.kubernetes:
        cluster_config.check(file.kubernetes, bool(file.node), f"{path}: $.kubernetes")
    return Config(pools=tuple(_pools(path, file.pool)), nodes=tuple(_nodes(path, file.node)), **settings)


def socket_address(text: str, where: str) -> str:
    """``unix:///PATH.sock`` for that, ``unix:/PATH.sock`` or a bare absolute path. InvalidArgument, naming ``where``."""
    try:
        return f"unix://{sockets.path_of(text)}"
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error.message}") from None


def check_backends(config: Config, path: str) -> None:
    """Every pool's backend is installed and takes the pool's keys. InvalidArgument naming the place in the file."""
    from ..backends import registry

    known = registry.known()
    for number, pool in enumerate(config.pools):
        place = f"{path}: $.pool[{number}]"
        if pool.backend not in known:
            raise InvalidArgument(f"{place}.backend: {pool.backend!r} is not known; known are {', '.join(known)}")
        try:
            registry.create(pool, Path(config.state_dir) / "pools" / pool.name)
        except InvalidArgument as error:
            said = error.message
            key = next((f".{key}" for key in pool.options if repr(key) in said or f"{key} = " in said), "")
            raise InvalidArgument(f"{place}{key}: {said}") from None


def _read(path: str) -> _File:
    try:
        text = Path(path).read_bytes().decode()
        data = tomllib.loads(text)
    except OSError as error:
        raise InvalidArgument(f"configuration file {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgument(f"{path} is not TOML: {error}") from error
    return _converted(data, _File, path, "$")


def _pools(path: str, tables: Sequence[dict[str, Any]]) -> Iterator[PoolConfig]:
    known = {field.name for field in msgspec.structs.fields(_Pool)}
    names: dict[str, int] = {}
    paths: dict[str, int] = {}
    for number, table in enumerate(tables):
        place = f"$.pool[{number}]"
        pool = _converted({key: value for key, value in table.items() if key in known}, _Pool, path, place)
        _check_word(pool.name, NAME, f"{path}: {place}.name")
        if pool.device_class:
            _check_word(pool.device_class, _DEVICE_CLASS, f"{path}: {place}.device_class")
        if pool.path:
            _check_absolute(pool.path, f"{path}: {place}.path")
        for value, seen, what in ((pool.name, names, "name"), (pool.path, paths, "path")):
            if value and (first := seen.setdefault(os.path.normpath(value), number)) != number:
                raise InvalidArgument(f"{path}: {place}.{what}: {value!r} is the {what} of $.pool[{first}] already")
        yield PoolConfig(
            name=pool.name,
            backend=pool.backend,
            path=pool.path,
            device_class=pool.device_class,
            thin_factor=pool.thin_factor,
            floor=_size(pool.floor, f"{path}: {place}.floor"),
            schedulable=pool.schedulable,
            options={key: value for key, value in table.items() if key not in known},
        )


def _check_default_pool(path: str, table: dict[str, Any]) -> None:
    pool = _converted(table, _DefaultPool, path, "$.default_pool")
    _check_word(pool.name, NAME, f"{path}: $.default_pool.name")
    _size(pool.floor, f"{path}: $.default_pool.floor")
    if pool.device_class:
        _check_word(pool.device_class, _DEVICE_CLASS, f"{path}: $.default_pool.device_class")


def _nodes(path: str, tables: Sequence[NodeEndpoint]) -> Iterator[NodeEndpoint]:
    names: set[str] = set()
    for number, node in enumerate(tables):
        place = f"{path}: $.node[{number}]"
        _check_word(node.name, _NODE_ID, f"{place}.name")
        if node.name in names:
            raise InvalidArgument(f"{place}.name: {node.name!r} is the name of another node already")
        names.add(node.name)
        yield NodeEndpoint(name=node.name, endpoint=socket_address(node.endpoint, f"{place}.endpoint"))


def _check(settings: dict[str, Any], where: Mapping[str, str]) -> None:
    """What the types alone do not say; endpoints get their one form."""
    _check_word(settings.get("driver_name", DRIVER_NAME), _DRIVER_NAME, where.get("driver_name", ""))
    _check_word(settings["node_id"], _NODE_ID, where.get("node_id", "the host's name, taken as node_id"))
    _check_absolute(settings["state_dir"], where.get("state_dir", ""))
    settings["endpoint"] = socket_address(settings["endpoint"], where.get("endpoint", "endpoint"))
    if (level := settings.get("log_level", "info")) not in LOG_LEVELS:
        raise InvalidArgument(f"{where['log_level']}: {level!r} is none of {', '.join(LOG_LEVELS)}")


def _check_registration(settings: dict[str, Any], where: Mapping[str, str]) -> None:
    """Kubelet's directory, and what it is told of our endpoint."""
    if endpoint := settings.get("kubelet_endpoint"):
        settings["kubelet_endpoint"] = socket_address(endpoint, where["kubelet_endpoint"])
    if directory := settings.get("registration_dir"):
        _check_absolute(directory, where["registration_dir"])
        longest = f"{directory.rstrip('/')}/.{settings.get('driver_name', DRIVER_NAME)}-reg.sock"
        if len(os.fsencode(longest)) > sockets.MAX_PATH:
            raise InvalidArgument(
                f"{where['registration_dir']}: {longest} is longer than the {sockets.MAX_PATH} bytes a socket's path may "
                "have"
            )


def _check_remote(settings: dict[str, Any], where: Mapping[str, str], path: str) -> None:
    """The controller's endpoint, which may be a port; then there has to be a way to a certificate for it."""
    place = where.get("controller_endpoint", "controller_endpoint")
    given: str = settings.get("controller_endpoint", "")
    enrolment: EnrolmentConfig | None = settings.get("enrolment")
    try:
        endpoint = endpoints.parse(given) if given else None
    except InvalidArgument as error:
        raise InvalidArgument(f"{place}: {error.message}") from None
    if endpoint:
        settings["controller_endpoint"] = str(endpoint)
    if isinstance(endpoint, endpoints.Tcp) and enrolment is None:
        raise InvalidArgument(
            f"{place}: {given!r} is a TCP port, and [enrolment] is missing: it is served with mutual TLS only"
        )
    if enrolment is None:
        return
    try:
        endpoints.tcp(enrolment.controller)
    except InvalidArgument as error:
        raise InvalidArgument(f"{path}: $.enrolment.controller: {error.message}") from None
    for key in ("ca", "token"):
        _check_absolute(getattr(enrolment, key), f"{path}: $.enrolment.{key}")


def _check_word(word: str, pattern: re.Pattern[str], where: str) -> None:
    if not pattern.fullmatch(word):
        raise InvalidArgument(
            f"{where}: {word!r} will not do; wanted 1 to 63 letters, digits, dots or dashes that begin and end with a "
            "letter or digit"
        )


def _check_absolute(path: str, where: str) -> None:
    if not path.startswith("/") or "\0" in path:
        raise InvalidArgument(f"{where}: {path!r} is not an absolute path")


def _size(value: int | str, where: str) -> int:
    try:
        size = sizes.parse(value) if isinstance(value, str) else value
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error.message}") from None
    if not 0 <= size <= sizes.MAX_SIZE:
        raise InvalidArgument(f"{where}: {value} is not a size")
    return size


_AT = re.compile(r"(?P<what>.*?)(?: - at `(?P<at>\$.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)


_WITHIN: dict[str, type[msgspec.Struct]] = {
    ".node[": NodeEndpoint,
    ".enrolment": EnrolmentConfig,
    ".kubernetes": KubernetesConfig,
}
"""Whose keys are listed for an unknown one there."""


def _converted(data: Any, kind: type[T], path: str, place: str) -> T:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"{path}: {_placed(str(error), place, kind)}") from None


def _placed(said: str, place: str, kind: type[msgspec.Struct]) -> str:
    """msgspec's sentence, as ``place: what``."""
    match = _AT.fullmatch(said)
    assert match is not None
    at = place + (match["at"] or "$").removeprefix("$")
    if unknown := _UNKNOWN.fullmatch(match["what"]):
        owner: type[msgspec.Struct] = next((one for place, one in _WITHIN.items() if place in at), kind)
        known = ", ".join(field.name for field in msgspec.structs.fields(owner))
        return f"{at}.{unknown[1]}: unknown key; known are {known}"
    if missing := _MISSING.fullmatch(match["what"]):
        return f"{at}.{missing[1]}: missing, and required"
    what = match["what"].replace("`", "")
    return f"{at}: {what[:1].lower()}{what[1:]}"
