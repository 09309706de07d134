"""Bad input when a role starts (issue 3, "Bad input"): a clear error in one line, the right exit code, nothing changed."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon

from .command import Said, program

CONFIGURATION, CANNOT_START = 2, 1


def start(directory: Path, text: str, *, role: str = "all", state: str = "state") -> Said:
    """``holdall ROLE`` with this configuration file, which is expected to end by itself."""
    config = directory / "holdall.toml"
    config.write_text(text)
    options = ("--config", config, "--state-dir", directory / state, "--endpoint", f"unix://{directory}/{state}.sock")
    return program(role, *options, "--node-id", "node-b")


def refusal(said: Said, code: int) -> str:
    """What it said on stderr, in one line; the log has it as a line of its own, without a traceback."""
    assert said.code == code, said.out + said.err
    assert said.err.startswith("holdall: ")
    assert said.err.count("\n") == 1
    message = said.err.removeprefix("holdall: ").strip()
    entries = [json.loads(line) for line in said.out.splitlines()]
    (entry,) = [one for one in entries if one["event"] == "cannot start"]
    assert entry["message"] == message
    assert "exception" not in entry
    return message


def pool(path: Path | str, name: str = "a", backend: str = "image", more: str = "") -> str:
    return f'[[pool]]\nname = "{name}"\nbackend = "{backend}"\npath = "{path}"\n{more}\n'


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory that cannot be written to, whoever tries."""
    path = tmp_path / "read-only"
    path.mkdir()
    subprocess.run(["mount", "--bind", path, path], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A filesystem without a free byte."""
    path = tmp_path / "full"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path], check=True)
    with pytest.raises(OSError, match="No space"):
        (path / "filler").write_bytes(bytes(1 << 20))
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "holdall.toml: $.colour: unknown key"),
        (
            pool("/srv/a") + pool("/srv/b", name="b", more="floor = []"),
            "holdall.toml: $.pool[1].floor: expected int | str",
        ),
        (pool("/srv/a", backend="tape"), "holdall.toml: $.pool[0].backend: 'tape' is not known; known are btrfs,"),
        (pool("/srv/a", more='color = "x"'), "holdall.toml: $.pool[0].color: pool a: backend image has no key 'color'"),
        (
            pool("/srv/a", more='provisioning = "fat"'),
            "holdall.toml: $.pool[0].provisioning: pool a: 'provisioning' = 'fat'",
        ),
        ("[default_pool]\ncolour = 1", "colour"),
        ('metrics_address = "here"', "metrics"),
    ],
)
def test_a_wrong_configuration_names_the_place(socket_path: Path, text: str, words: str) -> None:
    """Exit code 2."""
    assert words in refusal(start(socket_path, text), CONFIGURATION)


def test_a_controller_without_nodes_is_a_wrong_configuration(socket_path: Path) -> None:
    """It would have nobody to route to."""
    assert "[[node]]" in refusal(start(socket_path, "", role="controller"), CONFIGURATION)


def test_a_missing_pool_directory_is_named(socket_path: Path) -> None:
    """It is not made: an unmounted disk must not become a pool on the root filesystem."""
    message = refusal(start(socket_path, pool(socket_path / "gone")), CANNOT_START)
    assert f"{socket_path}/gone" in message
    assert not (socket_path / "gone").exists()


def test_a_read_only_pool_directory_is_named(socket_path: Path, read_only: Path) -> None:
    """And nothing is left in it, of course."""
    message = refusal(start(socket_path, pool(read_only)), CANNOT_START)
    assert str(read_only) in message
    assert "read-only" in message.lower()


@pytest.mark.parametrize("backend", ["image", "directory"])
def test_a_full_pool_directory_is_named_and_left_as_it_was(socket_path: Path, full: Path, backend: str) -> None:
    """A new pool needs room for its ledger."""
    message = refusal(start(socket_path, pool(full, backend=backend)), CANNOT_START)
    assert str(full) in message
    assert os.listdir(full) == ["filler"]


def test_a_pool_of_another_backend_is_refused(socket_path: Path) -> None:
    """Its volumes would not be found."""
    (socket_path / "pool").mkdir()
    with Daemon(socket_path / "d", config=pool(socket_path / "pool", backend="directory")) as first:
        first.stop()
    message = refusal(start(socket_path, pool(socket_path / "pool")), CONFIGURATION)
    assert "holds a pool of backend directory" in message


def test_a_pool_of_a_newer_schema_is_refused(socket_path: Path) -> None:
    """An older program must not write into what it does not understand."""
    path = socket_path / "pool"
    path.mkdir()
    with Daemon(socket_path / "d", config=pool(path)) as first:
        first.stop()
    with sqlite3.connect(path / ".holdall" / "ledger.db") as ledger:
        ledger.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    ledger.close()
    message = refusal(start(socket_path, pool(path)), CANNOT_START)
    assert "newer" in message
    assert str(path) in message


def test_a_second_driver_on_a_pool_is_refused_naming_the_first(socket_path: Path) -> None:
    """One process opens a pool; the second ends, the first goes on."""
    path = socket_path / "pool"
    path.mkdir()
    with Daemon(socket_path / "d", config=pool(path), node_id="node-a") as first:
        message = refusal(start(socket_path, pool(path)), CANNOT_START)
        assert str(path) in message
        assert f"pid {first.pid}, as pool a of node node-a" in message
        assert first.running
        assert first.stop() == 0


def test_a_second_driver_on_a_state_directory_is_refused_naming_the_first(socket_path: Path) -> None:
    """Also when it has another socket."""
    with Daemon(socket_path, config="") as first:
        options = ("--state-dir", first.state, "--endpoint", f"unix://{socket_path}/other.sock")
        message = refusal(program("all", *options), CANNOT_START)
        assert f"pid {first.pid}" in message
        assert first.stop() == 0


def test_a_socket_that_somebody_serves_is_not_taken(socket_path: Path) -> None:
    """It is named with the process that serves there."""
    with Daemon(socket_path, config="") as first:
        options = ("--state-dir", socket_path / "other", "--endpoint", first.endpoint)
        message = refusal(program("all", *options), CANNOT_START)
        assert f"process {first.pid} serves there" in message
        assert first.stop() == 0
