"""Every check that only reads the source: style, types, layers, protocol stubs, forbidden names."""

import argparse
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from . import junit

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sysconfig.get_path("scripts"))
CHECKS = {
    "ruff check": (str(SCRIPTS / "ruff"), "check"),
    "ruff format": (str(SCRIPTS / "ruff"), "format", "--check", "--diff"),
    # Without its cache, which was seen to remember that a module was missing after it had come.
    "mypy --strict": (sys.executable, "-m", "mypy", "--no-incremental"),
    "layers": (str(SCRIPTS / "lint-imports"),),
    "protocol stubs": (sys.executable, "tools/proto.py", "--check"),
    "forbidden names": (sys.executable, "-m", "tools.names"),
}


def check(name: str, command: tuple[str, ...]) -> junit.Case:
    """Run one check, echoing what it says only when it fails."""
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    said = done.stdout.decode(errors="replace").strip()
    seconds = time.monotonic() - started
    print(f"{name:16} {'FAILED' if done.returncode else 'ok':6} {seconds:5.1f} s", flush=True)
    if not done.returncode:
        return junit.Case(name, seconds)
    why = said or f"exit code {done.returncode}"
    print(why, flush=True)
    return junit.Case(name, seconds, "failed", why)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools.lint")
    parser.add_argument("--junit-xml", type=Path, help="also write the verdicts here")
    options = parser.parse_args()
    cases = [check(name, command) for name, command in CHECKS.items()]
    if options.junit_xml:
        junit.write(options.junit_xml, "lint", cases)
    return 1 if junit.count(cases).failed else 0


if __name__ == "__main__":
    sys.exit(main())
