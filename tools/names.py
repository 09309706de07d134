"""Names that may not stand in a tracked file: hosts of package registries, and absolute paths of a build machine.

A clone has to work wherever it is made, with whatever mirror of a registry that place has; naming one here would send
a machine elsewhere than its own settings say (docs/decisions/0001-hash-pinned-lock.md).
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The hosts themselves may not stand here either: SHA-256 of each, cut to 16 digits. A host under one is caught too.
HOSTS = frozenset(
    {
        "00a7dc5a0cc38858",
        "048e76c14ef34200",
        "0dc11026ac75c015",
        "1ba4e37997a2e986",
        "2e97613f5a81eaa4",
        "317d2d52829b7812",
        "3ca29e55be4befa4",
        "43c04ed1dabe979b",
        "71741fe2460a6150",
        "789e46d79514e280",
        "87d14f070cb96869",
        "8b5bb5eb9d758455",
        "9da5f32d96412512",
        "a0f007d863a0ed19",
        "a4aa2ac280bb8d1a",
        "be57af6b78a7faca",
        "c2b35955576ffa71",
        "c899567ee9068517",
        "e680c440a2e92079",
    }
)
HOST = re.compile(r"(?<![\w.-])(?:[a-z0-9-]+\.)+[a-z]{2,}(?![\w-])", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.$})/*-])/(?:work|root|home|Users)/[\w.]")


def digest(host: str) -> str:
    """How a host is listed above."""
    return sha256(host.lower().encode()).hexdigest()[:16]


def findings(text: str, root: Path = ROOT) -> Iterator[tuple[int, str]]:
    """Line numbers and what is wrong there."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in HOST.finditer(line):
            labels = match[0].split(".")
            if any(digest(".".join(labels[start:])) in HOSTS for start in range(len(labels) - 1)):
                yield number, f"names a package registry's host ({match[0]}); clients know theirs"
        if path := MACHINE_PATH.search(line):
            yield number, f"holds an absolute path of some machine ({line[path.start() :].split()[0]})"
        # A checkout at /src or /srv/holdall would be found in examples; one deeper down only where it does not belong.
        elif len(root.parts) > 3 and str(root) in line:
            yield number, "holds the absolute path of this checkout"


def tracked(root: Path) -> list[Path]:
    """The files git knows, or would know after `git add`: a new file is checked before it is committed."""
    command = ("git", "-c", f"safe.directory={root}", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    return [root / name.decode() for name in listed.split(b"\0") if name]


def main() -> int:
    bad = 0
    for path in tracked(ROOT):
        try:
            text = path.read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        for number, what in findings(text):
            print(f"{path.relative_to(ROOT)}:{number}: {what}")
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
