"""What commands print: tables that a pipe does not cut, JSON with every key, and nothing of one in the other."""

import json

import pytest

from driver.cli.show import Column, Show, worded

COLUMNS = (Column("name", "name"), Column("size", "size", "size"), Column("where", "on", "list"))
LONG = "x" * 300
ROWS = [{"name": "a", "size": 1 << 30, "where": ["n1", "n2"]}, {"name": LONG, "size": 0, "where": []}]


def test_a_table_is_whole_where_it_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A line per row, nothing cut or wrapped, no blanks at a line's end."""
    Show(as_json=False).table(ROWS, COLUMNS, "nothing")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "ON"]
    assert lines[1].split() == ["a", "1", "GiB", "n1,", "n2"]
    assert lines[2].startswith(LONG)
    assert len(lines) == 3
    assert all(line == line.rstrip() for line in lines)


def test_markup_in_a_name_is_taken_literally(capsys: pytest.CaptureFixture[str]) -> None:
    """A volume may be called anything; its name must not become a colour."""
    Show(as_json=False).table([{"name": "[red]:smile:[/red]"}], COLUMNS[:1], "nothing")
    assert "[red]:smile:[/red]" in capsys.readouterr().out


def test_json_has_every_key_and_only_it_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty list is an empty array, and words for people are left out."""
    show = Show(as_json=True)
    show.table(ROWS, COLUMNS, "nothing")
    assert json.loads(capsys.readouterr().out) == ROWS
    show.table([], COLUMNS, "nothing")
    show.note("for people")
    said = capsys.readouterr()
    assert json.loads(said.out) == []
    assert said.err == ""


def test_an_empty_table_is_a_sentence_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr: a script that reads the table reads nothing."""
    Show(as_json=False).table([], COLUMNS, "There are none.")
    assert capsys.readouterr() == ("", "There are none.\n")


def test_one_object_is_a_line_per_property_without_the_empty_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """As people look something up."""
    Show(as_json=False).item({"name": "a", "size": 4096, "where": []}, COLUMNS)
    assert capsys.readouterr().out == "name: a\nsize: 4 KiB\n"


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (None, "size", ""),
        (1536, "size", "1.5 KiB"),
        (["a", "b"], "list", "a, b"),
        ({"k": "v"}, "map", "k=v"),
        (True, "flag", "yes"),
        (False, "flag", "no"),
        (0.256, "share", "26 %"),
        (0, "time", ""),
        (3, "count", "3"),
    ],
)
def test_values_are_worded_for_people(value: object, kind: str, words: str) -> None:
    """Sizes in binary units, shares in per cent, nothing for what is not known."""
    assert worded(value, kind) == words
