"""Rates of the calls, by number of existing volumes; both sides take turns."""

import functools
from collections.abc import Callable, Sequence

from .measure import Series, timed
from .subject import MIB, Subject

Results = dict[str, dict[str, Series]]
BATCH = 100


def _note(results: Results, what: str, subject: Subject, seconds: Sequence[float]) -> None:
    results.setdefault(what, {}).setdefault(subject.name, Series()).add(seconds)


def lifecycle(subjects: Sequence[Subject], results: Results, *, rounds: int, existing: int) -> None:
    """Create, list and delete with ``existing`` volumes already there."""
    for number in range(rounds):
        for subject in subjects:
            made: list[str] = []
            calls = [
                functools.partial(_create, subject, f"bench-{existing}-{number}-{one}", made) for one in range(BATCH)
            ]
            _note(results, f"create, {existing} existing", subject, timed(calls))
            _note(
                results,
                f"list walk by 100, {existing} existing",
                subject,
                timed([functools.partial(subject.walk, 100)]),
            )
            deletes = [functools.partial(subject.delete, volume_id) for volume_id in made]
            _note(results, f"delete, {existing} existing", subject, timed(deletes))


def _create(subject: Subject, name: str, made: list[str]) -> None:
    made.append(subject.create(name))


def fill(subject: Subject, start: int, count: int) -> None:
    """``count`` more volumes, to be there while others are measured."""
    for number in range(start, start + count):
        subject.create(f"fill-{number}")


def node(subjects: Sequence[Subject], results: Results, *, rounds: int) -> None:
    """Stage of formatted volumes, publish, stats, unpublish, and Probe."""
    count = 20
    volumes = {subject.name: [subject.create(f"node-{n}", 64 * MIB) for n in range(count)] for subject in subjects}
    for subject in subjects:  # the first stage formats; a bench of formatting would measure mkfs
        for volume_id in volumes[subject.name]:
            subject.stage(volume_id)
            subject.unstage(volume_id)
    for _ in range(rounds):
        for subject in subjects:
            mine = volumes[subject.name]
            _note(results, "stage, formatted", subject, timed([functools.partial(subject.stage, one) for one in mine]))
            for _ in range(5):
                # One target a volume: what a pod makes of it. A peer answers for further ones without mounting them.
                for what, method, times in (
                    ("publish", subject.publish, 1),
                    ("stats", subject.stats, 5),
                    ("unpublish", subject.unpublish, 1),
                ):
                    _note(results, what, subject, timed([functools.partial(method, one) for one in mine] * times))
            _note(results, "Probe", subject, timed([subject.probe] * 300))
            _note(results, "unstage", subject, timed([functools.partial(subject.unstage, one) for one in mine]))
    for subject in subjects:
        for volume_id in volumes[subject.name]:
            subject.delete(volume_id)


def copies(subjects: Sequence[Subject], results: Results, *, rounds: int) -> None:
    """Snapshot and clone of a volume that holds 1 GiB, not staged; for ours also mounted and clean."""
    size = 1100 * MIB
    for subject in subjects:
        source = subject.create("big", size)
        subject.stage(source)
        subject.publish(source)
        with (subject.target(source) / "data").open("wb") as file:
            block = bytes(range(256)) * 4096
            for _ in range(1024):
                file.write(block)
        subject.unpublish(source)
        for mounted in (True, False):
            if not mounted:
                subject.unstage(source)
            words = "mounted, clean" if mounted else "not mounted"
            for number in range(rounds):
                name = f"big-{mounted}-{number}"
                snapshot, seconds = _one(functools.partial(subject.snapshot, name, source))
                _note(results, f"snapshot of 1 GiB, {words}", subject, seconds)
                clone, seconds = _one(functools.partial(subject.clone, name, source, size))
                _note(results, f"clone of 1 GiB, {words}", subject, seconds)
                subject.delete(clone)
                subject.delete_snapshot(snapshot)
        subject.delete(source)


def _one(action: Callable[[], str]) -> tuple[str, list[float]]:
    """What the action gave, and its seconds."""
    given: list[str] = []
    seconds = timed([lambda: given.append(action())])
    return given[0], seconds
