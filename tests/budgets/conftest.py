"""Figures that are reported rather than judged: into out/test/budgets.json, and below the lane's result."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

REPORT = Path(__file__).parents[2] / "out" / "test" / "budgets.json"
FIGURES = pytest.StashKey[dict[str, float]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = {}


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, float], None]:
    """Notes a figure under a name that says its unit."""
    figures = request.config.stash[FIGURES]

    def note(name: str, value: float) -> None:
        figures[name] = round(value, 3)

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, {})
    if not figures:
        return
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    terminalreporter.section("budgets")
    for name, value in sorted(figures.items()):
        terminalreporter.write_line(f"{name:<42} {value:g}")
