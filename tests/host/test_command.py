"""Programs: their environment, their end, their errors."""

import signal
import time

import pytest

from driver.host import command


def test_a_program_runs_in_the_c_locale_with_the_system_directories() -> None:
    """Its output is parsed, and mkfs lies in /sbin."""
    lines = command.run(["env"]).out.splitlines()
    assert sorted(line.partition("=")[0] for line in lines) == ["LC_ALL", "PATH"]
    assert "LC_ALL=C" in lines
    assert "/usr/sbin" in next(line for line in lines if line.startswith("PATH="))


def test_a_failure_carries_exit_code_program_and_stderr() -> None:
    """The error is a sentence that can be acted on."""
    with pytest.raises(command.CommandFailed) as failed:
        command.run(["ls", "/does/not/exist"])
    assert failed.value.code == 2
    assert failed.value.argv == ("ls", "/does/not/exist")
    assert "No such file" in failed.value.err
    assert "ls /does/not/exist ended with 2" in failed.value.message


def test_an_exit_code_named_ok_is_no_failure() -> None:
    """e2fsck says 1 for "mended"."""
    assert command.run(["false"], ok=(0, 1)).code == 1


def test_long_stderr_is_cut_to_its_end() -> None:
    """The reason comes last, and a log line has bounds."""
    with pytest.raises(command.CommandFailed) as failed:
        command.run(
            ["awk", 'BEGIN { while (i++ < 9999) print "noise" > "/dev/stderr"; print "why" > "/dev/stderr"; exit 3 }']
        )
    assert failed.value.err.endswith("why")
    assert len(failed.value.message) < command.SHOWN + 200


def test_a_program_that_is_not_there_is_a_command_failure() -> None:
    """Not a bare OSError."""
    with pytest.raises(command.CommandFailed) as failed:
        command.run(["no-such-program-here"])
    assert failed.value.code == 127


def test_stdin_reaches_the_program() -> None:
    """Secrets go that way: argv is public."""
    assert command.run(["cat"], stdin=b"secret").out == "secret"


def test_without_stdin_a_program_reads_nothing() -> None:
    """A program that asks a question must not wait for an answer."""
    assert command.run(["cat"], timeout=5).out == ""


def test_at_the_deadline_the_whole_process_group_is_killed() -> None:
    """Also what the program started itself, which would hold the pipes open."""
    started = time.monotonic()
    with pytest.raises(command.CommandFailed) as failed:
        command.run(["timeout", "60", "sleep", "60"], timeout=0.2)
    assert failed.value.code == -signal.SIGKILL
    assert "within 0.2 s" in failed.value.message
    assert time.monotonic() - started < 10


def test_output_that_is_no_text_does_not_fail() -> None:
    """Labels on disks are bytes."""
    assert command.run(["printf", r"\377"]).out == "�"


def test_a_spawned_program_ends_when_it_is_told() -> None:
    """Killed, reaped, its pipes closed: warnings about what is left over would fail this test."""
    spawned = command.spawn(["cat"])
    spawned.stdin.write(b"x")
    assert spawned.stdout.read(1) == b"x"
    spawned.kill()
    spawned.end()
    assert spawned.process.returncode == -signal.SIGKILL
