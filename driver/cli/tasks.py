"""``holdall task``: work that goes on in the background."""

import click

from csi.holdall.v1 import holdall_pb2 as holdall

from ..model import errors
from . import names, rows, waiting
from .session import Session, talks
from .show import Show


@click.group()
def task() -> None:
    """Work that goes on in the background: copies, purges, rescans."""


@task.command("list")
@click.option("--all", "finished_too", is_flag=True, help="Also those that have ended.")
@talks
async def list_(session: Session, show: Show, finished_too: bool) -> None:
    """What is being done now."""
    answer = await session.ask(session.holdall.ListTasks, holdall.ListTasksRequest(all=finished_too))
    show.table([rows.task(one) for one in answer.tasks], rows.TASK, "There are no tasks.")


@task.command()
@click.argument("task_id", metavar="TASK")
@talks
async def watch(session: Session, show: Show, task_id: str) -> int:
    """Follow a task to its end; exit code 1 when it failed. With --json, an object for every change."""
    ended: holdall.Task | None = None
    if show.as_json:
        async for ended in session.stream(session.holdall.WatchTask, holdall.WatchTaskRequest(id=task_id)):
            show.line(rows.task(ended), "")
    else:
        ended = await waiting.watch(session, show, task_id, task_id)
        if ended is None:
            raise errors.NotFound(f"there is no task {task_id!r}")
        about = f" ({ended.message})" if ended.message else ""
        print(f"Task {ended.id} on {names.readable(ended.subject)} is {ended.state}{about}.")
    return 1 if ended is not None and ended.state == "failed" else 0
