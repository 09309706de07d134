"""What every lane shares: how much hypothesis tries, and scratch places that are what a test takes them for."""

import gc
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

PROOF = os.environ.get("HOLDALL_PROOF", "slice")
"""``slice`` for `make test`, ``full`` for `make prove`."""

# Hypothesis would choose a profile of its own when CI is set, so that a failure there could not be had at home. No
# deadline: a busy machine is no bug. No database: what a run tries depends on nothing it finds lying about; the blob
# printed with a failure repeats it anywhere.
_SHARED = settings(
    deadline=None,
    derandomize=False,
    print_blob=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("slice", _SHARED, max_examples=100)
settings.register_profile("full", _SHARED, max_examples=2000)
settings.load_profile(PROOF)


@pytest.fixture(scope="session")
def full_proof() -> bool:
    """Whether this is `make prove`: tests that repeat something take their large number then."""
    return PROOF == "full"


@pytest.fixture
def disk_path(tmp_path: Path) -> Iterator[Path]:
    """A private directory on a disk: where /tmp lies in memory, files there take no direct IO and no loop device."""
    if _in_memory(tmp_path):
        base = Path(__file__).parents[1] / "out" / "tmp"
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base) as name:
            yield Path(name)
    else:
        yield tmp_path


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """A private directory short enough for sockets: their paths may have 107 bytes (unix(7)), a checkout's any number."""
    with tempfile.TemporaryDirectory(prefix="hold-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def free_port() -> Iterator[Callable[[], int]]:
    """Gives loopback TCP ports nobody listens on, no two the same within a test.

    Each stays bound, not listening, until the test ends, so that no other process is given it meanwhile; a server
    that sets SO_REUSEADDR or SO_REUSEPORT, as they do, can listen on it (socket(7)).
    """
    held: list[socket.socket] = []

    def take() -> int:
        holder = socket.socket()
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            holder.setsockopt(socket.SOL_SOCKET, option, 1)
        holder.bind(("127.0.0.1", 0))
        held.append(holder)
        port: int = holder.getsockname()[1]
        return port

    yield take
    for holder in held:
        holder.close()


@pytest.fixture(autouse=True, scope="module")
def _nothing_unraisable() -> Iterator[None]:
    """What a module's tests leave to the garbage collector fails in that module, not in whichever runs when it comes."""
    yield
    gc.collect()


def _in_memory(path: Path) -> bool:
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    lines = (line.split() for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines())
    return any(words[2] == number and words[words.index("-") + 1] in ("tmpfs", "ramfs") for words in lines)
