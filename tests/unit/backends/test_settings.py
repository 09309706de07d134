"""Settings of volumes, read from requests."""

import pytest

from driver.backends import settings
from driver.backends.settings import Setting
from driver.model.errors import InvalidArgument

KNOWN = {
    "colour": Setting("red", ("red", "green"), {"black": "nobody would see it"}),
    "shape": Setting(None, ("round",)),
}


def test_what_is_not_asked_for_has_its_default() -> None:
    """A record is complete; a key without a default is absent unless asked for."""
    assert settings.complete(KNOWN, {}, "pool p") == {"colour": "red"}
    assert settings.complete(KNOWN, {"colour": "green", "shape": "round"}, "pool p") == {
        "colour": "green",
        "shape": "round",
    }


def test_a_change_holds_only_what_changes() -> None:
    """Keys that are absent must not change (CSI ControllerModifyVolume)."""
    assert settings.changed(KNOWN, {"shape": "round"}, "pool p") == {"shape": "round"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": "1"}, "pool p knows no parameter 'size'; known are colour, shape"),
        ({"colour": "blue"}, "pool p: colour = 'blue' is none of red, green"),
        ({"colour": "black"}, "pool p refuses colour = 'black': nobody would see it"),
    ],
)
def test_what_cannot_be_is_refused_naming_key_value_and_choices(given: dict[str, str], said: str) -> None:
    """A person can act on it without reading the code."""
    with pytest.raises(InvalidArgument) as refusal:
        settings.complete(KNOWN, given, "pool p")
    assert said == refusal.value.message


def test_a_backend_without_settings_knows_none() -> None:
    """Even then the key is named."""
    with pytest.raises(InvalidArgument, match="known are none"):
        settings.changed({}, {"a": "b"}, "pool p")
