"""Ids are derived, safe as file names, and never shared by two names."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.model import errors, ids

POOL = "p0123456789ab"


@given(st.text(max_size=200))
def test_any_name_gives_a_safe_id(name: str) -> None:
    """Rule: no string from outside becomes a path component; ids are at most 128 bytes of [a-z0-9.-]."""
    made = ids.derive(POOL, ids.VOLUME, name)
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", made)
    assert len(made) <= 128
    assert ".." not in made
    assert ids.split(made) == (POOL, ids.local_part(ids.VOLUME, name))
    assert ids.is_kind(made, ids.VOLUME)
    assert not ids.is_kind(made, ids.SNAPSHOT)


@given(st.text(max_size=100), st.text(max_size=100))
def test_two_names_never_share_an_id(one: str, other: str) -> None:
    """Rule: the hash is over the whole name."""
    assert (ids.local_part("v", one) == ids.local_part("v", other)) == (one == other)


@pytest.mark.parametrize(
    "foreign",
    ["", "x", POOL, f"{POOL}.", f"{POOL}.v-x", "../../etc/passwd", f"{POOL}.v-{'0' * 24}/..", f"{POOL}.v-{'0' * 24}\n",
     f"{POOL}.x-{'0' * 24}", f"{POOL.upper()}.v-{'0' * 24}", f"{POOL}.v--{'0' * 24}"],
)  # fmt: skip
def test_what_we_did_not_make_is_not_an_id(foreign: str) -> None:
    """Rule: CVE-2026-3864: an id is checked whole before anything is built from it."""
    assert ids.split(foreign) is None
    assert ids.lock_key(foreign) == foreign


@pytest.mark.parametrize(
    ("name", "word"), [("", "no name"), ("a" * 129, "129 bytes"), ("ä" * 65, "130"), ("a\x07", "control")]
)
def test_names_csi_forbids_are_refused(name: str, word: str) -> None:
    """Rule: names are any Unicode of 1 to 128 bytes without control characters."""
    with pytest.raises(errors.InvalidArgument, match=word):
        ids.checked_name(name, "the volume")
    assert ids.checked_name("pvc-Ä/../x\t", "the volume")
