"""The wait after failures: longer each time, never too long, never for all at once."""

from driver.engine.backoff import Backoff


def test_the_wait_doubles_to_its_most_and_begins_anew_after_a_success() -> None:
    """Each is between half of what is due and all of it."""
    backoff = Backoff(1.0, 10.0)
    for due in (1.0, 2.0, 4.0, 8.0, *[10.0] * 20):
        assert due / 2 <= backoff.failed() <= due
    backoff.succeeded()
    assert backoff.failures == 0
    assert backoff.failed() <= 1.0
