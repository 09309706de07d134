"""What a process carries: a role imports its own parts, and a command none that it does not use (design.md section 3)."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_ROLE = """
import json, os, signal, sys, threading, time
def look():
    while not os.path.exists({socket!r}):
        time.sleep(0.01)
    time.sleep(0.5)
    print(json.dumps(sorted(sys.modules)), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=look, daemon=True).start()
sys.argv = ["holdall", {role!r}, "--config", {config!r}, "--state-dir", {state!r}, "--endpoint", {socket!r}]
from driver.__main__ import main
main()
"""
_COMMAND = """
import json, sys
from driver.cli.root import holdall
try:
    holdall.main({arguments!r}, standalone_mode=False)
except SystemExit:
    pass
print()
print(json.dumps(sorted(sys.modules)))
"""


def modules(program: str) -> set[str]:
    """What the program says that it has imported, in the only line that is an array."""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(json.loads(next(line for line in done.stdout.splitlines() if line.startswith("["))))


def role(name: str, directory: Path, text: str = "") -> set[str]:
    """All that a process of that role has imported once it serves, with pools of two kinds, and ``text`` configured."""
    config = directory / "holdall.toml"
    for kind in ("image", "directory"):
        (directory / kind).mkdir()
        text += f'[[pool]]\nname = "{kind}"\nbackend = "{kind}"\npath = "{directory}/{kind}"\n'
    config.write_text(f'{text}[[node]]\nname = "n"\nendpoint = "unix://{directory}/n.sock"\n')
    places = {"config": str(config), "state": f"{directory}/state", "socket": f"{directory}/csi.sock"}
    return modules(_ROLE.format(role=name, **places))


def carried(found: set[str], packages: tuple[str, ...]) -> list[str]:
    """Those of ``packages`` that are among the modules, or have one among them."""
    return [one for one in packages if any(name == one or name.startswith(f"{one}.") for name in found)]


def test_the_node_role_carries_neither_kubernetes_nor_http_nor_the_fleet(socket_path: Path) -> None:
    """The node imports neither kubernetes, aiohttp, fleet nor files, nor what only commands use."""
    found = role("node", socket_path)
    assert carried(found, ("driver.engine", "driver.node", "grpc")) == ["driver.engine", "driver.node", "grpc"]
    unwanted = (
        "kubernetes",
        "aiohttp",
        "cryptography",
        "driver.fleet",
        "driver.files",
        "driver.http",
        "driver.kube",
        "rich",
    )
    assert carried(found, unwanted) == []


def test_a_node_that_enrols_carries_no_library_of_certificates(socket_path: Path, free_port: Callable[[], int]) -> None:
    """Its keys and requests are openssl(1)'s: nothing more than TLS costs memory on every node."""
    text = f'controller_endpoint = "tcp://127.0.0.1:{free_port()}"\n[enrolment]\ncontroller = "127.0.0.1:1"\n'
    found = role("node", socket_path, f'{text}ca = "{socket_path}/ca.crt"\ntoken = "{socket_path}/token"\n')
    assert carried(found, ("driver.rpc.enrolling", "driver.host.keys")) == ["driver.rpc.enrolling", "driver.host.keys"]
    assert carried(found, ("cryptography", "kubernetes", "aiohttp", "driver.kube", "driver.rpc.enrolment")) == []


def test_the_whole_driver_carries_no_client_of_another_system(socket_path: Path) -> None:
    """``holdall all`` needs no Kubernetes, so it does not carry its client, nor the router."""
    found = role("all", socket_path)
    assert carried(found, ("driver.engine", "driver.node")) == ["driver.engine", "driver.node"]
    assert carried(found, ("kubernetes", "aiohttp", "driver.fleet", "rich")) == []


def test_the_controller_role_carries_nothing_that_opens_a_pool(socket_path: Path) -> None:
    """The controller routes; engine, node plugin, backends and ledgers are the nodes'."""
    found = role("controller", socket_path)
    assert carried(found, ("driver.fleet", "grpc")) == ["driver.fleet", "grpc"]
    unwanted = ("kubernetes", "aiohttp", "driver.engine.engine", "driver.backends", "driver.node", "driver.state")
    assert carried(found, unwanted) == []


@pytest.mark.parametrize("arguments", [["--help"], ["all", "--help"], ["demo", "--help"]])
def test_help_of_what_serves_imports_no_grpc(arguments: list[str]) -> None:
    """Help is there at once: no gRPC, no protobuf, no logging library is imported for it."""
    found = modules(_COMMAND.format(arguments=arguments))
    assert carried(found, ("click",)) == ["click"]
    assert carried(found, ("grpc", "google.protobuf", "structlog", "prometheus_client")) == []


def test_help_of_the_commands_imports_no_tables() -> None:
    """rich is imported by what prints a table, and by nothing before."""
    assert carried(modules(_COMMAND.format(arguments=["volume", "create", "--help"])), ("rich",)) == []
