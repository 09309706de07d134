"""Effects can be seen, stopped and died after."""

import errno
from collections.abc import Callable

import pytest

from driver.host import effect, files
from driver.model.errors import HostFailed

from .observers import Breaker, Death, Killer, Recorder
from .scratch import Scratch

Observe = Callable[[effect.Observer], None]


def test_an_effect_is_told_with_its_name_and_arguments(scratch: Scratch, observe: Observe) -> None:
    """``module.function`` and what it was called with."""
    recorder = Recorder()
    observe(recorder)
    path = f"{scratch.root}/d"
    files.make_dir(path, mode=0o755)
    assert recorder.seen == [("files.make_dir", path)]


def test_what_is_raised_before_an_effect_keeps_it_from_happening(scratch: Scratch, observe: Observe) -> None:
    """So that errors can be injected."""
    observe(Breaker("files.make_dir", errno.EIO))
    with pytest.raises(HostFailed, match="EIO"):
        files.make_dir(f"{scratch.root}/d")
    assert not list(scratch.root.iterdir())


def test_what_is_raised_after_an_effect_leaves_it_done(scratch: Scratch, observe: Observe) -> None:
    """So that a crash right after it can be imitated."""
    observe(Killer("files.make_dir"))
    with pytest.raises(Death):
        files.make_dir(f"{scratch.root}/d")
    assert [entry.name for entry in scratch.root.iterdir()] == ["d"]


def test_an_effect_that_failed_is_not_told_as_done(scratch: Scratch, observe: Observe) -> None:
    """``after`` means success."""
    recorder = Recorder()
    observe(recorder)
    with pytest.raises(HostFailed):
        files.make_dir(f"{scratch.root}/absent/d")
    assert recorder.seen == []


def test_after_uninstall_nothing_is_told(scratch: Scratch, observe: Observe) -> None:
    """The next test starts afresh."""
    recorder = Recorder()
    observe(recorder)
    effect.uninstall()
    files.make_dir(f"{scratch.root}/d")
    assert recorder.seen == []
