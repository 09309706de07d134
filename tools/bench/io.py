"""IO through a volume, against the same filesystem without us and on a plain loop device of the same pool."""

import json
import os
import statistics
import subprocess
from pathlib import Path

from .subject import MIB, Ours

JOBS = {
    "write 1 MiB": ["--rw=write", "--bs=1M", "--iodepth=8"],
    "read 1 MiB": ["--rw=read", "--bs=1M", "--iodepth=8"],
    "random write 4 KiB": ["--rw=randwrite", "--bs=4k", "--iodepth=16"],
    "random read 4 KiB": ["--rw=randread", "--bs=4k", "--iodepth=16"],
}
SIZE = 256 * MIB


def _fio(directory: Path, job: list[str], seconds: int) -> float:
    """Bytes per second."""
    command = [
        "fio", "--name=bench", f"--filename={directory}/fio", f"--size={SIZE}", "--direct=1", "--ioengine=libaio",
        f"--runtime={seconds}", "--time_based", "--output-format=json", *job,
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout)["jobs"][0]
    return float(result["read"]["bw_bytes"] or result["write"]["bw_bytes"])


def run(ours: Ours, pool: Path, *, rounds: int, seconds: int) -> dict[str, dict[str, float]]:
    """Median bytes per second per job, for the volume, the pool's filesystem itself, and a plain loop device there."""
    volume = ours.create("fio", 2 * SIZE)
    ours.stage(volume)
    ours.publish(volume)
    image = pool / "plain.img"
    with image.open("wb") as file:
        os.truncate(file.fileno(), 2 * SIZE)
    device = subprocess.run(
        ["losetup", "--find", "--show", "--direct-io=on", "--sector-size", "4096", str(image)],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    plain = ours.directory / "plain"
    plain.mkdir()
    beside = pool / "beside"
    beside.mkdir()
    try:
        subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-m", "0", device], check=True)
        subprocess.run(["mount", device, str(plain)], check=True)
        places = {"volume": ours.target(volume), "plain losetup": plain, "pool filesystem": beside}
        figures: dict[str, dict[str, list[float]]] = {}
        for place in places.values():
            _fio(place, JOBS["write 1 MiB"], 1)
        names = list(places)
        for number in range(rounds):
            for job, options in JOBS.items():
                # Each goes first in turn, on a disk that has nothing left to write from the one before.
                for name in names[number % 3 :] + names[: number % 3]:
                    place = places[name]
                    os.sync()
                    figures.setdefault(job, {}).setdefault(name, []).append(_fio(place, options, seconds))
        return {job: {name: statistics.median(one) for name, one in sides.items()} for job, sides in figures.items()}
    finally:
        subprocess.run(["umount", str(plain)], check=False)
        subprocess.run(["losetup", "--detach", device], check=False)
        ours.unpublish(volume)
        ours.unstage(volume)
        ours.delete(volume)
