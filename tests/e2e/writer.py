"""A pod that writes without a pause and checks what it wrote, whatever happens around it."""

import itertools
import time
from dataclasses import dataclass

from .cluster import images
from .space import QUICK, Space

# Each round: a numbered line with the time at the end of a log, synced and read again; a block of random bytes over an older
# one, synced, read again and compared. What fails is said in the container, not on the volume.
_FILES = """
trap 'exit 0' TERM
n=$(wc -l 2>/dev/null </data/log || echo 0)
while :; do
    n=$((n + 1))
    echo "$n $(date +%s)" | dd of=/data/log oflag=append conv=notrunc,fsync 2>/tmp/said ||
        echo "line $n: $(cat /tmp/said)" >>/tmp/failed
    case $(tail -n 1 /data/log) in "$n "*) ;; *) echo "line $n is not there" >>/tmp/failed ;; esac
    head -c 65536 /dev/urandom >/tmp/block
    dd if=/tmp/block of=/data/block.$((n % 16)) bs=65536 conv=fsync 2>/tmp/said ||
        echo "block $n: $(cat /tmp/said)" >>/tmp/failed
    cmp -s /tmp/block /data/block.$((n % 16)) || echo "block $n is another" >>/tmp/failed
    sleep 0.1
done
"""


@dataclass(frozen=True)
class State:
    """What a writer has done: lines in its log, the longest pause between two of them in seconds, and its mount."""

    lines: int
    longest_pause: int
    mount: str


class Writer:
    """Pod ``name`` of ``space`` writes to the claim ``claim``, mounted at /data."""

    def __init__(self, space: Space, name: str, claim: str, node: str = "") -> None:
        self.name = name
        self.claim = claim
        self._space = space
        main = {
            "name": "main",
            "image": images.BUSYBOX,
            "command": ["sh", "-c", _FILES],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }
        spec = {
            **QUICK,
            "containers": [main],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
            "nodeSelector": {"kubernetes.io/hostname": node} if node else {},
        }
        space.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})

    def state(self) -> State:
        """AssertionError when a write, a sync or a comparison failed, a line is missing, or its process began anew."""
        space, name = self._space, self.name
        script = (
            "cat /tmp/failed 2>/dev/null || :; echo ---; grep ' /data ' /proc/self/mountinfo; echo ---; cat /data/log"
        )
        failed, mount, log = space.sh(name, script).split("---\n")
        assert failed == ""
        (status,) = space.get("pod", name)["status"]["containerStatuses"]
        assert status["restartCount"] == 0
        # The last line may be half written while it is read.
        rows = [[int(word) for word in line.split()] for line in log.splitlines()[:-1]]
        assert [number for number, _ in rows] == list(range(1, len(rows) + 1))
        times = [at for _, at in rows]
        pauses = [after - before for before, after in itertools.pairwise(times)]
        # Number and devices stay as long as the mount does (proc(5), mountinfo); so do its options.
        return State(len(rows), max(pauses, default=0), mount.strip())

    def wait_for_more(self, lines: int = 10, patience: float = 30.0) -> State:
        """It wrote so many lines from now on."""
        began = self.state().lines
        ends = time.monotonic() + patience
        while (state := self.state()).lines < began + lines:
            if time.monotonic() > ends:
                raise RuntimeError(f"{self.name} wrote {state.lines - began} lines in {patience:.0f} s, not {lines}")
            time.sleep(0.5)
        return state
