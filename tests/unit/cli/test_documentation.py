"""docs/cli.md and docs/configuration.md say what is there: every example loads, every key and command is named."""

import re
import tomllib
from pathlib import Path

import click
import msgspec
import pytest

from driver.cli import config
from driver.cli.root import COMMANDS, holdall
from driver.model.config import Config

DOCS = Path(__file__).parents[3] / "docs"
CONFIGURATION, CLI = (DOCS / "configuration.md").read_text(), (DOCS / "cli.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", CONFIGURATION, re.DOTALL)
SHOWN = re.findall(r"^\$ (holdall .*?)(?: +#.*)?$", CLI, re.MULTILINE)
SET_OTHERWISE = {"pools", "nodes", "default_pool", "enrolment", "kubernetes"}
"""Keys of the struct that the file spells as tables."""


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_configuration_is_one(text: str, tmp_path: Path) -> None:
    """Each example in docs/configuration.md is read without complaint, and its backends know their keys."""
    file = tmp_path / "holdall.toml"
    file.write_text(text)
    config.check_backends(config.load(str(file), {"node_id": "n"}), str(file))


def test_the_example_file_is_read(tmp_path: Path) -> None:
    """deploy/examples/holdall.toml too."""
    file = DOCS.parent / "deploy" / "examples" / "holdall.toml"
    found = config.load(str(file), {"node_id": "n"})
    assert len(found.pools) == len(tomllib.loads(file.read_text())["pool"])
    config.check_backends(found, str(file))


def test_every_key_is_documented() -> None:
    """A key that a person cannot look up is not there for them."""
    keys = {field.name for field in msgspec.structs.fields(Config)} - SET_OTHERWISE
    missing = {key for key in keys if f"`{key}`" not in CONFIGURATION}
    assert missing == set()


def commands(group: click.Group, words: tuple[str, ...] = ()) -> set[str]:
    """All commands below a group, by their words."""
    context = click.Context(group)
    found: set[str] = set()
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found |= commands(command, (*words, name))
        else:
            found.add(" ".join((*words, name)))
    return found


def test_every_command_is_documented() -> None:
    """With an example, or by name for those that serve."""
    assert set(COMMANDS) == set(holdall.list_commands(click.Context(holdall)))
    missing = {one for one in commands(holdall) if f"holdall {one}" not in CLI and f"`{one}`" not in CLI}
    assert missing == set()


@pytest.mark.parametrize("line", SHOWN)
def test_every_command_line_shown_is_one(line: str) -> None:
    """Its commands, options and arguments are read as they stand; nothing is run."""
    words = line.split()[1:]
    command: click.Command = holdall
    context = click.Context(holdall)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command, context = found, click.Context(found)
    with context.scope():
        command.parse_args(context, words)
