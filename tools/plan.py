"""The lanes of `make test` and `make prove`: what each runs, and how long it may take."""

import sys
from dataclasses import dataclass

SLICE, FULL = "slice", "full"


@dataclass(frozen=True)
class Lane:
    """One row of the table. Time boxes in seconds; beyond them the lane is stopped and fails."""

    name: str
    holds: str
    command: tuple[str, ...]
    slice_box: int
    full_box: int

    def arguments(self, proof: str, junit: str) -> tuple[str, ...]:
        """The command line, told to write its cases to the JUnit file."""
        # One test that hangs fails with the place it hung at, and the rest of the lane still runs.
        patience = 300 if proof == SLICE else 7200
        sized = (f"--timeout={patience}",) if "pytest" in self.command else ()
        return (*self.command, *sized, f"--junit-xml={junit}")

    def box(self, proof: str) -> int:
        return (self.slice_box or self.full_box) if proof == SLICE else self.full_box

    @property
    def in_slice(self) -> bool:
        """Whether `make test` runs it without being told to: a lane without a slice's time box is for `make prove`."""
        return self.slice_box > 0


def _pytest(name: str, holds: str, slice_box: int, full_box: int) -> Lane:
    return Lane(name, holds, (sys.executable, "-m", "pytest", "-v", f"tests/{name}"), slice_box, full_box)


def _module(name: str, module: str, holds: str, slice_box: int, full_box: int) -> Lane:
    return Lane(name, holds, (sys.executable, "-m", module), slice_box, full_box)


HOUR = 3600
# The boxes are some four times what a lane takes on two idle cores: they stop what hangs, and are no budget.
LANES = (
    _module("lint", "tools.lint", "style, types, layers, stubs, names", 420, 900),
    _pytest("unit", "each module alone", 600, HOUR),
    _pytest("states", "crash points, life of a volume against a model, kill -9", 720, 4 * HOUR),
    _pytest("wire", "gRPC as a client sees it, fuzz, protocols", 720, 2 * HOUR),
    _pytest("host", "the kernel: mounts, loop devices, freezing, hung and full stores", 900, HOUR),
    _pytest("contract", "one suite over every backend", 900, HOUR),
    _pytest("budgets", "imports, memory, start-up", 300, HOUR),
    # The API server is built first, in some ten minutes: for `make prove`, until a machine other than ours has shown that.
    _pytest("kube", "the controller's side of a real Kubernetes API", 0, 2 * HOUR),
    _pytest("deploy", "chart, alerts and examples; the image's root filesystem, run", 900, HOUR),
    # A cluster of its own and most of its programs built first: no part of `make test` until both are proven elsewhere.
    _pytest("e2e", "claims and pods in a real Kubernetes of two nodes", 0, 3 * HOUR),
    _module("sanity", "sanity.matrix", "csi-sanity over every backend, in one process and split", 900, HOUR),
)
NAMES = tuple(lane.name for lane in LANES)


def skips(text: str) -> frozenset[str]:
    """The lanes a comma list names. ValueError for a name that is no lane, since a typo would silently skip nothing."""
    named = frozenset(filter(None, (part.strip() for part in text.split(","))))
    if unknown := sorted(named - set(NAMES)):
        raise ValueError(f"SKIP names {', '.join(unknown)}; the lanes are {', '.join(NAMES)}")
    return named
