"""Mount options as people write them."""

import pytest

from driver.host import mount_options
from driver.host.mount_options import parse_options
from driver.model.errors import InvalidArgument


def test_options_are_sorted_into_the_mounts_and_the_filesystems() -> None:
    """The first are flags, the others pass on."""
    parsed = parse_options(["ro", "nosuid", "discard", "stripe=64"])
    assert parsed.attributes == mount_options.RDONLY | mount_options.NOSUID
    assert parsed.data == ("discard", "stripe=64")


def test_a_later_word_wins() -> None:
    """As with mount(8)."""
    assert parse_options(["ro", "rw"]) == (0, ())
    assert parse_options(["noexec", "exec", "noexec"]).attributes == mount_options.NOEXEC
    assert parse_options(["noatime", "strictatime"]).attributes == mount_options.STRICTATIME
    assert parse_options(["strictatime", "relatime"]).attributes == 0


def test_one_string_may_hold_several() -> None:
    """StorageClasses are written both ways."""
    assert parse_options(["noatime,discard", "", "nodev"]) == parse_options(["noatime", "discard", "nodev"])


@pytest.mark.parametrize("word", ["defaults", "auto", "nofail", "_netdev", "x-systemd.automount"])
def test_words_for_others_say_nothing(word: str) -> None:
    """They are copied from fstab."""
    assert parse_options([word]) == (0, ())


@pytest.mark.parametrize(
    "word", ["bind", "rbind", "remount", "move", "loop", "loop=/dev/loop0", "shared", "source=/x", "a\0b"]
)
def test_a_word_that_would_do_something_else_is_refused_by_name(word: str) -> None:
    """A user's mount option must not make another mount than the volume's."""
    with pytest.raises(InvalidArgument, match="option"):
        parse_options([word])
