"""One run of the csi-sanity program against sockets."""

import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools import junit

from . import places as cell_places
from .cells import Cell
from .places import Places

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / ".cache" / "bin" / "csi-sanity"
TIME_BOX = 600
SECRETS = (
    "CreateVolume", "DeleteVolume", "ControllerPublishVolume", "ControllerUnpublishVolume",
    "ControllerValidateVolumeCapabilities", "NodeStageVolume", "NodePublishVolume", "CreateSnapshot", "DeleteSnapshot",
    "ListSnapshots", "GetSnapshot", "ControllerExpandVolume", "ControllerModifyVolume",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What one run said. ``faults`` are reasons beside its cases."""

    cases: list[junit.Case]
    faults: list[str]


def new_secret() -> str:
    """A word that occurs nowhere else, so that finding it in a log proves a leak."""
    return f"sanity-{secrets.token_hex(12)}"


def run(cell: Cell, places: Places, endpoint: str, controller: str, secret: str, report: Path, log: Path) -> Run:
    """Run every case; its output goes to ``log``, its JUnit file to ``report``."""
    report.unlink(missing_ok=True)
    secrets_file = places.work / "secrets.yaml"
    secrets_file.write_text("".join(f"{call}Secret:\n  token: {secret}\n" for call in SECRETS))
    options = {
        "endpoint": endpoint,
        # Made and removed by the program for every case, so nothing else may ever lie there.
        "mountdir": str(places.work / "mount"),
        "stagingdir": str(places.work / "staging"),
        "secrets": str(secrets_file),
        "testvolumeaccesstype": cell.backend.access,
        "testvolumesize": str(cell.backend.size),
        "testvolumeexpandsize": str(2 * cell.backend.size),
        "testvolumeparameters": str(cell_places.parameters(cell, places)),
        "testvolumemutableparameters": str(cell_places.mutable_parameters(cell, places)),
        "testnodevolumeattachlimit": "true",
    }
    if controller != endpoint:
        options["controllerendpoint"] = controller
    command = [str(PROGRAM), *(f"-csi.{key}={value}" for key, value in options.items())]
    command += [f"--ginkgo.junit-report={report}", "--ginkgo.no-color", "--ginkgo.v", f"--ginkgo.timeout={TIME_BOX}s"]
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=TIME_BOX + 60
            ).returncode
        except subprocess.TimeoutExpired:
            return Run(junit.cases(report), [f"csi-sanity had not ended after {TIME_BOX + 60} s"])
    cases = junit.cases(report)
    failed = junit.count(cases).failed
    return Run(
        cases, [] if (code == 0) == (failed == 0) else [f"csi-sanity ended with {code} and {failed} failed cases"]
    )
