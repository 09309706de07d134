"""Waiting for long work in front of a person: a bar for the driver's task, for as long as it runs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from csi.holdall.v1 import holdall_pb2 as holdall

from ..model import errors
from .session import Session
from .show import Show

T = TypeVar("T")

SOON = 0.3
"""Seconds before a bar is worth showing, and between looks for the task to show."""


async def until_answered(session: Session, show: Show, words: str, subject: str, call: Callable[[], Awaitable[T]]) -> T:
    """What ``call`` answers, with a bar meanwhile for the task whose subject's id ends with ``subject``.

    A call that the driver ends because its work goes on in a task (ABORTED) is made again once the task is done; raises
    what it answers then, and what the task failed with.
    """
    while True:
        answering = asyncio.ensure_future(call())
        await asyncio.wait({answering}, timeout=SOON)
        while not answering.done():
            task = await _task(session, subject)
            if task is None:
                await asyncio.wait({answering}, timeout=SOON)
            else:
                await watch(session, show, words, task.id)
        try:
            return answering.result()
        except errors.Busy:
            task = await _task(session, subject)
            if task is None:
                raise
            await watch(session, show, words, task.id)


async def watch(session: Session, show: Show, words: str, task_id: str) -> holdall.Task | None:
    """The task as it ended, with a bar meanwhile; None when nobody knows it any more."""
    last = None
    with show.progress() as progress:
        bar = progress.add_task(words, total=None)
        try:
            async for last in session.stream(session.holdall.WatchTask, holdall.WatchTaskRequest(id=task_id)):
                progress.update(bar, completed=last.done_bytes, total=last.total_bytes or None)
        except errors.NotFound:
            return last
    return last


async def _task(session: Session, subject: str) -> holdall.Task | None:
    answer = await session.ask(session.holdall.ListTasks, holdall.ListTasksRequest())
    copying = [one for one in answer.tasks if one.kind != "purge" and one.subject.endswith(subject)]
    return copying[0] if copying else None
