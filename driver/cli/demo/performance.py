"""The demonstration from its first step to its last, swept away whatever happens."""

import asyncio
import os
import signal
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ...model import errors
from ...model.sizes import show
from . import blocks, files, life
from .scene import Scene
from .sweep import sweep
from .telling import Failed, Telling, shown

NEXT = (
    ("holdall all", "serve for real: everything in this one process"),
    ("holdall volume create data --size 1GiB", "in another shell: a volume"),
    ("holdall mount data /mnt/data", "use it"),
    ("holdall snapshot create data before-lunch", "a snapshot, while it is in use"),
    ("holdall volume --help", "and the rest"),
)
PLACES = ("/var/tmp", tempfile.gettempdir())


def perform() -> int:
    """The exit code: 0 when every claim held, 1 when one did not, 130 when interrupted."""
    console = page()
    place = next((one for one in PLACES if os.access(one, os.W_OK)), None)
    directory = Path(tempfile.mkdtemp(prefix="holdall-demo-", dir=place)).resolve()
    return asyncio.run(_run(console, directory))


def page() -> Console:
    """Where the story is told; what it prints is taken literally."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


async def _run(console: Console, directory: Path) -> int:
    began = time.perf_counter()
    task = asyncio.current_task()
    assert task is not None, "asyncio.run runs a task"
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    tell = Telling(console)
    scene = Scene(tell, directory)
    problem = ""
    try:
        await _story(scene)
    except (Failed, errors.DomainError, OSError) as error:
        problem = str(error)
    except asyncio.CancelledError:
        problem = "interrupted"
    finally:
        left = await _clean(scene)
    if problem or left:
        console.print()
        console.print(f"✘ {problem or 'not everything could be cleaned up'}", style="bold red")
        for line in left:
            console.print(f"  left behind, {line}", style="red")
        return 130 if problem == "interrupted" else 1
    _summary(tell, time.perf_counter() - began)
    return 0


async def _story(scene: Scene) -> None:
    await files.start(scene)
    wanted = await files.write(scene)
    before = await files.snapshot(scene)
    await files.restore(scene, wanted, before)
    await files.clone(scene, wanted)
    await files.grow(scene, wanted)
    await files.measure(scene)
    await blocks.raw(scene)
    await blocks.changes(scene)
    await blocks.group(scene)
    life.metrics(scene)
    await life.kill(scene, wanted)
    await life.delete(scene)
    scene.tell.resident = scene.driver.resident()
    life.end(scene)


async def _clean(scene: Scene) -> list[str]:
    """What could not be cleaned up, in words. Not to be interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
    await scene.client.close()
    scene.driver.stop()
    return sweep(scene.directory)


def _summary(tell: Telling, seconds: float) -> None:
    console = tell.console
    console.print()
    console.print(
        f"✔ It works: {tell.checks} checks in {shown(seconds)}, and nothing is left behind.", style="bold green"
    )
    console.print(
        f"  {tell.calls} CSI calls took {shown(tell.waited)}; the driver ended with {show(tell.resident)} of memory.",
        style="dim",
    )
    console.print()
    console.print("Try next:", style="bold")
    for command, words in NEXT:
        console.print(Text.assemble("  ", (f"{command:<42}", "cyan"), f"  {words}"))
