"""Regenerate the protocol stubs beside their .proto files; with --check, only say whether they are up to date.

Stubs are committed so that an install needs no compiler. Run it with the development environment's Python: the
compiler and its plugins are taken from there, since other versions write other stubs.
"""

import argparse
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = (
    "csi/v1/csi.proto",
    "csi/pluginregistration/v1/pluginregistration.proto",
    "csi/holdall/v1/holdall.proto",
    "csi/holdall/v1/enrolment.proto",
)
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
STUBS = tuple(proto.removesuffix(".proto") + suffix for proto in PROTOS for suffix in SUFFIXES)


def generate(root: Path) -> None:
    """Write every stub beside its .proto below the root."""
    scripts = Path(sysconfig.get_path("scripts"))
    plugins = [f"--plugin=protoc-gen-{name}={scripts / f'protoc-gen-{name}'}" for name in ("mypy", "mypy_grpc")]
    # Everything is relative to the root: protoc splits its path arguments at colons, and stubs quote their path.
    outputs = ["--python_out=.", "--grpc_python_out=.", "--mypy_out=quiet:.", "--mypy_grpc_out=quiet:."]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", *plugins, *outputs, *PROTOS]
    subprocess.run(command, cwd=root, check=True)


def stale(root: Path) -> list[str]:
    """The stubs below the root that are missing or differ from what their .proto gives."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for proto in PROTOS:
            (scratch / proto).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / proto, scratch / proto)
        generate(scratch)
        return [stub for stub in STUBS if _content(root / stub) != _content(scratch / stub)]


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a committed stub is stale")
    arguments = parser.parse_args()
    if importlib.util.find_spec("grpc_tools") is None:
        print("proto: grpcio-tools is missing; run this with the development environment's python", file=sys.stderr)
        return 2
    if not arguments.check:
        generate(ROOT)
        return 0
    differing = stale(ROOT)
    for stub in differing:
        print(f"proto: {stub} is not what its .proto gives; run `make proto` and commit it", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
