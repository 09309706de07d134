"""What every ledger answers: records, pages, ids, counts and sums."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from driver.model.records import TaskRecord
from driver.state.ledger import Drop, Ledger, Put, Totals

from .ledgers import KINDS, Make, clone, grant, named, opened, snapshot, trash, volume


def fill(ledger: Ledger, count: int = 20) -> list[str]:
    """That many volumes; their ids in order."""
    ledger.commit([Put(named(f"v{number:03}", reserved=1)) for number in range(count)]).result()
    return [f"v{number:03}" for number in range(count)]


def test_nothing_is_got_where_there_is_no_record(ledger: Ledger) -> None:
    """A kind of its own is a name space of its own."""
    fill(ledger, 1)
    assert ledger.get("volume", "other") is None
    assert ledger.get("snapshot", "v000") is None


def test_a_page_starts_above_after_and_has_at_most_limit(ledger: Ledger) -> None:
    """In order of id; 0 means all; ``after`` need not exist."""
    ids = fill(ledger)
    assert [one.id for one in ledger.page("volume")] == ids
    assert [one.id for one in ledger.page("volume", after="v004", limit=3)] == ["v005", "v006", "v007"]
    assert [one.id for one in ledger.page("volume", after="v0045", limit=1)] == ["v005"]
    assert ledger.page("volume", after="v019") == []
    assert ledger.page("snapshot") == []


def test_ids_are_in_order_of_their_code_points(ledger: Ledger) -> None:
    """In every ledger the same, so that a token means the same."""
    ids = ["a", "B", "é", "z", "\U0001f600", "ab", "\uffff"]
    ledger.commit([Put(named(one)) for one in ids]).result()
    assert ledger.ids("volume") == sorted(ids)
    assert [one.id for one in ledger.page("volume")] == sorted(ids)


def test_a_page_can_be_of_one_parent_or_tag_or_both(ledger: Ledger) -> None:
    """A snapshot's volume and group, a volume's source, a grant's volume and node."""
    a, b = volume("a"), volume("b")
    snapshots = [snapshot(f"{source.name}{group}", source, group) for source in (a, b) for group in ("", "g1", "g2")]
    copy = clone("copy", a)
    ledger.commit(
        [Put(one) for one in (a, b, copy, *snapshots, grant(a, "n1"), grant(a, "n2"), grant(b, "n1"))]
    ).result()

    def names(**match: str) -> list[str]:
        return [one.name for one in ledger.page("snapshot", **match)]

    assert names(parent=a.id) == ["a", "ag1", "ag2"]
    assert names(tag="g1") == ["ag1", "bg1"]
    assert names(parent=b.id, tag="g2") == ["bg2"]
    assert names(parent="") == []
    assert names(tag="") == ["a", "b"]
    assert names(parent=a.id, tag="") == ["a"]
    assert names(parent="unknown") == []
    assert [one.node_id for one in ledger.page("grant", parent=a.id)] == ["n1", "n2"]
    assert [one.volume_id for one in ledger.page("grant", tag="n1")] == sorted([a.id, b.id])
    assert ledger.page("volume", tag=a.id) == [copy]
    assert ledger.page("snapshot", parent=a.id, after=snapshots[0].id, limit=1) == [snapshots[1]]
    assert ledger.count("snapshot", parent=a.id) == 3
    assert ledger.count("snapshot", parent=b.id, tag="g2") == 1
    assert ledger.count("snapshot", tag="") == 2
    assert ledger.count("grant", tag="n1") == 2
    assert ledger.count("grant", parent="unknown") == 0


def test_a_record_that_changes_parent_or_tag_is_found_under_the_new_one_alone(ledger: Ledger) -> None:
    """The index follows the record."""
    a = volume("a")
    ledger.commit([Put(snapshot("s", a, "g1"))]).result()
    ledger.commit([Put(snapshot("s", volume("b"), "g2"))]).result()
    assert (ledger.count("snapshot", parent=a.id), ledger.count("snapshot", tag="g1")) == (0, 0)
    assert (ledger.count("snapshot", parent=volume("b").id), ledger.count("snapshot", tag="g2")) == (1, 1)


def test_only_listed_leaves_out_what_is_not_complete(ledger: Ledger) -> None:
    """``limit`` counts what is answered."""
    volumes = [volume(number, state="filling" if number % 2 else "ready") for number in range(10)]
    tasks = [TaskRecord(id=one, kind="copy", subject="v", state=one) for one in ("running", "done")]
    ledger.commit([Put(one) for one in (*volumes, *tasks)]).result()
    assert len(ledger.page("volume", listed_only=True)) == 5
    assert len(ledger.page("volume", listed_only=True, limit=4)) == 4
    assert [one.id for one in ledger.page("task", parent="v", listed_only=True)] == ["running"]
    assert len(ledger.page("volume")) == 10


def test_totals_and_counts_follow_every_change(make: Make, home: Path) -> None:
    """They are the same when summed up anew at the start."""
    with opened(make, home) as ledger:
        a, b = volume("a", reserved=10), volume("b", reserved=20)
        ledger.commit([Put(a), Put(b), Put(snapshot("s", a, reserved=3))]).result()
        assert ledger.totals() == Totals(33, 2, 1)
        ledger.commit([Put(volume("a", reserved=15))]).result()
        assert ledger.totals() == Totals(38, 2, 1)
        ledger.commit([Drop("volume", b.id), Put(trash(b))]).result()
        assert ledger.totals() == Totals(38, 1, 1)
        ledger.commit([Drop("trash", trash(b).id)]).result()
        assert ledger.totals() == Totals(18, 1, 1)
        assert [ledger.count(kind) for kind in ("volume", "snapshot", "trash", "grant")] == [1, 1, 0, 0]
    with opened(make, home) as ledger:
        assert ledger.totals() == Totals(18, 1, 1)
        assert [ledger.count(kind) for kind in ("volume", "snapshot", "trash", "grant")] == [1, 1, 0, 0]


def test_sums_beyond_64_bits_are_right(make: Make, home: Path) -> None:
    """The largest volumes may be promised many times under a thin factor."""
    with opened(make, home) as ledger:
        ledger.commit([Put(volume(number, reserved=1 << 62)) for number in range(8)]).result()
        assert ledger.totals().reserved == 8 << 62
    with opened(make, home) as ledger:
        assert ledger.totals().reserved == 8 << 62


def test_paging_while_records_change_gives_every_lasting_record_once(ledger: Ledger) -> None:
    """Others come and go on both sides between any two pages."""
    lasting = fill(ledger, 60)
    seen: list[str] = []
    turn = 0
    while page := ledger.page("volume", after=seen[-1] if seen else "", limit=7):
        seen.extend(one.id for one in page)
        turn += 1
        changing = [f"v{number * 10:03}-x" for number in range(6)]
        ledger.commit([Put(named(one)) if turn % 2 else Drop("volume", one) for one in changing]).result()
        ledger.commit([Drop("volume", "v000"), Put(named("v000", turn)), Put(named("v059", turn))]).result()
    assert [one for one in seen if len(one) == 4] == lasting
    assert len(seen) > len(lasting)


def test_both_ledgers_answer_alike(scratch: Path) -> None:
    """Any changes, any question."""
    root = scratch
    ledgers = [make(str(root / kind)) for kind, make in KINDS.items()]
    for ledger in ledgers:
        ledger.open()
    sources = [volume(number) for number in range(3)]
    records = st.one_of(
        st.builds(
            snapshot, st.integers(0, 5), st.sampled_from(sources), st.sampled_from(["", "g1", "g2"]), st.integers(0, 9)
        ),
        st.builds(clone, st.integers(0, 5), st.sampled_from(sources)),
        st.builds(volume, st.integers(0, 5), st.integers(0, 9), state=st.sampled_from(["filling", "ready"])),
    )
    drops = records.map(lambda one: Drop("snapshot" if one.id.split(".")[1][0] == "s" else "volume", one.id))
    known = st.sampled_from([None, "", "g1", "unknown", *(one.id for one in sources)])

    @settings(max_examples=50)
    @given(
        st.lists(st.lists(records.map(Put) | drops, max_size=4), max_size=4),
        st.lists(
            st.tuples(st.sampled_from(["volume", "snapshot"]), known, known, known, st.booleans(), st.integers(0, 3))
        ),
    )
    def alike(commits: list, questions: list) -> None:
        for ledger in ledgers:
            for changes in commits:
                ledger.commit(changes).result()
        one, other = ledgers
        assert one.totals() == other.totals()
        for kind, parent, tag, after, listed_only, limit in questions:
            match = {"parent": parent, "tag": tag}
            asked = {**match, "after": after or "", "listed_only": listed_only, "limit": limit}
            assert one.page(kind, **asked) == other.page(kind, **asked)
            assert one.count(kind, **match) == other.count(kind, **match) == len(one.page(kind, **match))
            assert one.ids(kind) == other.ids(kind)

    try:
        alike()
    finally:
        for ledger in ledgers:
            ledger.close()
