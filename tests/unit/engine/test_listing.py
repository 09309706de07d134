"""Pages whose tokens survive concurrent change."""

import pytest

from driver.engine import listing
from driver.model import errors


def _shelves(contents: dict[str, list[str]]) -> list:
    def shelf(pool: str):
        async def read(after: str, count: int) -> list[str]:
            found = [one for one in sorted(contents[pool]) if one > after]
            return found[:count] if count else found

        return pool, read

    return [shelf(pool) for pool in sorted(contents)]


async def _walk(contents: dict[str, list[str]], limit: int) -> list[list[str]]:
    pages, token = [], ""
    while True:
        page = await listing.page("q", token, limit, _shelves(contents), lambda one: one)
        pages.append(page.entries)
        token = page.next_token
        if not token:
            return pages


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 7, 0])
async def test_pages_together_are_the_whole_list_in_order(limit: int) -> None:
    """Rule: next_token is empty at the end and only there."""
    contents = {"pa": ["pa.1", "pa.2", "pa.3"], "pb": [], "pc": ["pc.1", "pc.2", "pc.3"]}
    pages = await _walk(contents, limit)
    assert [one for page in pages for one in page] == ["pa.1", "pa.2", "pa.3", "pc.1", "pc.2", "pc.3"]
    assert all(pages), "no empty page"


async def test_a_token_goes_on_behind_a_deleted_entry() -> None:
    """Rule: tokens survive concurrent change; nothing is listed twice or left out."""
    contents = {"pa": ["pa.1", "pa.2", "pa.3", "pa.4"]}
    page = await listing.page("q", "", 2, _shelves(contents), lambda one: one)
    contents["pa"].remove("pa.2")
    contents["pa"].append("pa.0")
    rest = await listing.page("q", page.next_token, 0, _shelves(contents), lambda one: one)
    assert page.entries + rest.entries == ["pa.1", "pa.2", "pa.3", "pa.4"]


@pytest.mark.parametrize("token", ["invalid-token", "~", "pa.1~0000", "~" * 200, "pa.1", "\udcff~"])
async def test_foreign_tokens_are_stale(token: str) -> None:
    """Rule: a token this list did not give out is ABORTED."""
    with pytest.raises(errors.StaleToken):
        await listing.page("q", token, 0, _shelves({"pa": []}), lambda one: one)


async def test_a_token_of_another_query_is_stale() -> None:
    """Rule: a token belongs to its list and filters."""
    token = listing.token("snapshots of a", "pa.1")
    assert listing.position("snapshots of a", token) == "pa.1"
    with pytest.raises(errors.StaleToken):
        listing.position("snapshots of b", token)
    assert len(listing.token("q", "x" * 95).encode()) <= 128


async def test_a_negative_limit_is_refused() -> None:
    """Rule: illegal values are INVALID_ARGUMENT."""
    with pytest.raises(errors.InvalidArgument):
        await listing.page("q", "", -1, [], str)
