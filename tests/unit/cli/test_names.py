"""Abbreviations: whatever a person types means one object, or is refused with the candidates."""

import pytest

from driver.cli import names
from driver.model import ids
from driver.model.errors import InvalidArgument, NotFound

P, Q = "p00000000000a", "p00000000000b"
DATA, LOGS = ids.derive(P, ids.VOLUME, "data"), ids.derive(P, ids.VOLUME, "logs")
ELSEWHERE = ids.derive(Q, ids.VOLUME, "data")
LOUD = ids.derive(Q, ids.VOLUME, "DATA")


def test_a_whole_id_means_itself() -> None:
    """Also when it is the beginning of another one's name."""
    assert names.pick(ids.VOLUME, DATA, [DATA, LOGS, ELSEWHERE]) == DATA


def test_a_name_means_the_object_made_under_it() -> None:
    """Even beside one whose readable part is the same: the hash tells them apart."""
    assert names.pick(ids.VOLUME, "data", [DATA, LOUD]) == DATA
    assert names.pick(ids.VOLUME, "DATA", [DATA, LOUD]) == LOUD


def test_a_beginning_means_the_only_one_that_begins_so() -> None:
    """Of the name, of the id, or of the id after its pool."""
    assert names.pick(ids.VOLUME, "lo", [DATA, LOGS]) == LOGS
    assert names.pick(ids.VOLUME, Q, [DATA, ELSEWHERE]) == ELSEWHERE
    assert names.pick(ids.VOLUME, "v-log", [DATA, LOGS]) == LOGS


def test_an_ambiguous_beginning_is_refused_with_the_candidates() -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidArgument, match=r"means 2 volumes: .*say more") as refused:
        names.pick(ids.VOLUME, "data", [DATA, ELSEWHERE])
    assert DATA in refused.value.message
    assert ELSEWHERE in refused.value.message


def test_an_unknown_name_is_not_found() -> None:
    """In the words of what was asked for."""
    with pytest.raises(NotFound, match="there is no snapshot 'x'"):
        names.pick(ids.SNAPSHOT, "x", [])


def test_the_readable_part_of_an_id() -> None:
    """What people recognize; an id without one, or of another driver, is shown whole."""
    assert names.readable(ids.derive(P, ids.VOLUME, "My Data!")) == "my-data"
    assert names.readable(ids.derive(P, ids.VOLUME, "…")) == ids.derive(P, ids.VOLUME, "…")
    assert names.readable("foreign") == "foreign"


def test_exact_ids_of_a_name() -> None:
    """One per pool; none for what cannot be a name."""
    assert names.exact(ids.VOLUME, "data", [P, Q]) == [DATA, ELSEWHERE]
    assert names.exact(ids.VOLUME, "x" * 200, [P]) == []
