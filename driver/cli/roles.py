"""``holdall all``, ``holdall node`` and ``holdall controller``: options, configuration, and off it goes."""

import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from typing import Any

import click

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--config", "config_path", envvar="HOLDALL_CONFIG", metavar="FILE", help="Configuration, TOML."),
    click.option("--state-dir", envvar="HOLDALL_STATE_DIR", metavar="DIR", help="[/var/lib/holdall]"),
    click.option(
        "--endpoint", envvar="CSI_ENDPOINT", metavar="unix:///PATH.sock", help="[unix:///run/holdall/csi.sock]"
    ),
    click.option("--node-id", envvar="HOLDALL_NODE_ID", metavar="NAME", help="[the host's name]"),
    click.option(
        "--metrics-address",
        envvar="HOLDALL_METRICS_ADDRESS",
        metavar="HOST:PORT",
        help="Serve /metrics, /healthz and /readyz there. [off]",
    ),
    click.option(
        "--log-level", envvar="HOLDALL_LOG_LEVEL", metavar="LEVEL", help="debug, info, warning, error. [info]"
    ),
)
_CONTROLLER_ENDPOINT = click.option(
    "--controller-endpoint",
    envvar="HOLDALL_CONTROLLER_ENDPOINT",
    metavar="unix:///PATH.sock|tcp://HOST:PORT",
    help="Offer the Controller services to a controller there; over TCP with mutual TLS, see [enrolment]. [off]",
)

_REGISTRATION_DIR = click.option(
    "--registration-dir",
    envvar="HOLDALL_REGISTRATION_DIR",
    metavar="DIR",
    help="Register with kubelet, whose directory for that is DIR (plugins_registry). [off]",
)


def _serves(*more: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(function: Any) -> Any:
        for option in reversed((*_OPTIONS, *more)):
            function = option(function)
        return function

    return add


@click.command("all")
@_serves(_CONTROLLER_ENDPOINT, _REGISTRATION_DIR)
def all_(config_path: str | None, **given: str | None) -> None:
    """Serve everything in this one process: every CSI service on one socket, for this machine's pools.

    Without a configuration there is one pool, "default", in the state directory; it can snapshot in constant time.
    """
    _run("everything", config_path, given)


@click.command()
@_serves(_CONTROLLER_ENDPOINT, _REGISTRATION_DIR)
def node(config_path: str | None, **given: str | None) -> None:
    """Serve this machine's pools and mounts: CSI Node for kubelet, the rest for a controller."""
    _run("node", config_path, given)


@click.command()
@_serves()
def controller(config_path: str | None, **given: str | None) -> None:
    """Serve CSI Controller as a router to the nodes in the configuration; opens no pool itself."""
    _run("controller", config_path, given)


class _WithoutRich(MetaPathFinder):
    """Tables and colours are for commands. structlog imports rich wherever it finds it: 4 MB that no service uses."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == "rich":
            raise ModuleNotFoundError("a serving process goes without rich", name="rich")


def _run(role: str, config_path: str | None, given: dict[str, str | None]) -> None:
    sys.meta_path.insert(0, _WithoutRich())
    from ..model.errors import InvalidArgument
    from ..telemetry import logs
    from . import config, process

    try:
        settings = config.load(config_path or "", {key: value or "" for key, value in given.items()})
        if role != "controller":
            config.check_backends(settings, config_path or "")
    except InvalidArgument as error:
        logs.configure("info")
        process.end(process.refuse(error))
        return
    from . import serve

    make = getattr(serve, role)
    process.run(lambda: make(settings), settings.log_level)
