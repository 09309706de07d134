"""Names that may stand in no tracked file."""

from pathlib import Path

import pytest

from tools import names

# Put together here, since this file is checked as well.
REGISTRY = ".".join(("pypi", "org"))
SLASH = "/"


@pytest.mark.parametrize(
    "line", [f"see https://{REGISTRY}/simple", f"files.{REGISTRY}", f"HOST={REGISTRY.upper()}:443"]
)
def test_a_registry_host_is_found(line: str) -> None:
    """With or without a scheme, in any case, and hosts below it."""
    assert [number for number, _ in names.findings(f"\n{line}\n")] == [2]


@pytest.mark.parametrize("line", [f"{SLASH}root/x", f'"{SLASH}home/me/holdall"', f"cd {SLASH}work/main"])
def test_an_absolute_path_of_a_machine_is_found(line: str) -> None:
    """Such a path works in one place only."""
    assert len(list(names.findings(line))) == 1


def test_the_path_of_this_checkout_is_found() -> None:
    """Wherever it lies."""
    assert len(list(names.findings("open('/srv/build/7/x')", Path("/srv/build/7")))) == 1


@pytest.mark.parametrize(
    "line", ["a pypi package", "https://www.apache.org/", "state/work/x", "$HOME/root/x", "np.org.x"]
)
def test_other_words_are_left_alone(line: str) -> None:
    """Packages are named by their names, and relative paths are no machine's."""
    assert list(names.findings(line)) == []
