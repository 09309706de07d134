"""The tables of CSI NodePublishVolume: second targets, same targets, and what a staged volume can be published as."""

import pytest

from driver.engine.uses import Target, Use
from driver.model import errors
from driver.model.capability import AccessMode, Capability
from driver.node import targets

ONE_TARGET = [
    AccessMode.SINGLE_NODE_WRITER,
    AccessMode.SINGLE_NODE_READER_ONLY,
    AccessMode.SINGLE_NODE_SINGLE_WRITER,
]
MANY_TARGETS = [
    AccessMode.SINGLE_NODE_MULTI_WRITER,
    AccessMode.MULTI_NODE_READER_ONLY,
    AccessMode.MULTI_NODE_SINGLE_WRITER,
    AccessMode.MULTI_NODE_MULTI_WRITER,
]


def _capability(mode: AccessMode, *flags: str, fs_type: str = "") -> Capability:
    return Capability("mount", mode, fs_type, flags)


def _use(targets_: dict[str, Target], *, read_only: bool = False, fs_type: str = "ext4") -> Use:
    return Use(
        volume_id="v",
        staging_path="/staging",
        kind="filesystem",
        capability=_capability(AccessMode.SINGLE_NODE_WRITER),
        device="/dev/loop0",
        fs_type=fs_type,
        read_only=read_only,
        targets=targets_,
    )


@pytest.mark.parametrize("mode", ONE_TARGET)
@pytest.mark.parametrize("readonly", [False, True])
def test_second_target_of_a_one_target_mode_is_refused(mode: AccessMode, readonly: bool) -> None:
    """Rows SINGLE_NODE_SINGLE_WRITER and Non MULTI_NODE: T1!=T2 is FAILED_PRECONDITION, whatever else differs."""
    use = _use({"/one": Target(_capability(mode))})
    wanted = Target(_capability(mode), readonly)
    rivals = targets.standing(use, "/two", wanted)
    assert rivals == ["/one"]
    refusal = targets.second_refused(use, rivals, wanted)
    assert mode.name in refusal.message
    assert "/one" in refusal.message


@pytest.mark.parametrize("mode", MANY_TARGETS)
@pytest.mark.parametrize("readonly", [False, True])
def test_second_target_of_a_many_target_mode_is_allowed(mode: AccessMode, readonly: bool) -> None:
    """Rows SINGLE_NODE_MULTI_WRITER and MULTI_NODE: T1!=T2 is OK, whatever else differs."""
    use = _use({"/one": Target(_capability(mode))})
    assert targets.standing(use, "/two", Target(_capability(mode), readonly)) == []


@pytest.mark.parametrize("mode", ONE_TARGET + MANY_TARGETS)
def test_the_same_target_is_no_second_one(mode: AccessMode) -> None:
    """T1=T2, P1=P2 is OK for every mode."""
    target = Target(_capability(mode))
    assert targets.standing(_use({"/one": target}), "/one", target) == []


@pytest.mark.parametrize("first", ONE_TARGET)
@pytest.mark.parametrize("second", MANY_TARGETS)
def test_a_target_that_is_to_be_the_only_one_stays_it(first: AccessMode, second: AccessMode) -> None:
    """A later call in a laxer mode does not take away what a stricter one was promised, nor the other way round."""
    use = _use({"/one": Target(_capability(first))})
    wanted = Target(_capability(second))
    assert targets.standing(use, "/two", wanted) == ["/one"]
    assert first.name in targets.second_refused(use, ["/one"], wanted).message
    assert targets.standing(_use({"/one": wanted}), "/two", Target(_capability(first))) == ["/one"]


def test_other_arguments_at_the_same_target_name_both_ways() -> None:
    """T1=T2, P1!=P2 is ALREADY_EXISTS, and says how the volume is published and how it was to be."""
    use = _use({"/one": Target(_capability(AccessMode.SINGLE_NODE_WRITER))})
    refusal = targets.differs(use, "/one", Target(_capability(AccessMode.SINGLE_NODE_WRITER), readonly=True))
    assert isinstance(refusal, errors.AlreadyExists)
    assert "not as mount SINGLE_NODE_WRITER read-only" in refusal.message


@pytest.mark.parametrize(
    ("flags", "read_only"),
    [((), False), (("ro",), True), (("noatime", "ro"), True), (("ro", "rw"), False), (("noatime,ro",), True)],
)
def test_mount_option_ro_means_read_only(flags: tuple[str, ...], read_only: bool) -> None:
    """The last of ro and rw counts, as in mount(8)."""
    assert targets.reads_only(_capability(AccessMode.SINGLE_NODE_WRITER, *flags)) is read_only


@pytest.mark.parametrize("mode", list(AccessMode)[1:])
def test_reader_modes_and_the_readonly_flag_mean_read_only(mode: AccessMode) -> None:
    """readonly is per target; a READER_ONLY mode is read-only without it."""
    assert targets.reads_only(_capability(mode), readonly=True)
    assert targets.reads_only(_capability(mode)) is mode.name.endswith("READER_ONLY")


def test_a_volume_staged_read_only_is_not_published_for_writing() -> None:
    """Exceeds capabilities: FAILED_PRECONDITION."""
    use = _use({}, read_only=True)
    with pytest.raises(errors.FailedPrecondition, match="staged read-only"):
        targets.refuse_capability(use, _capability(AccessMode.SINGLE_NODE_WRITER), readonly=False)
    targets.refuse_capability(use, _capability(AccessMode.SINGLE_NODE_WRITER), readonly=True)


def test_a_mounted_volume_is_not_published_as_a_device() -> None:
    """Exceeds capabilities: FAILED_PRECONDITION."""
    with pytest.raises(errors.FailedPrecondition, match="staged for mount access, not block"):
        targets.refuse_capability(_use({}), Capability("block"), readonly=False)


def test_another_filesystem_than_the_staged_one_is_refused() -> None:
    """Exceeds capabilities: FAILED_PRECONDITION; an empty fs_type leaves it to the volume."""
    with pytest.raises(errors.FailedPrecondition, match="has filesystem ext4, not xfs"):
        targets.refuse_capability(_use({}), _capability(AccessMode.SINGLE_NODE_WRITER, fs_type="xfs"), readonly=False)
    targets.refuse_capability(_use({}), _capability(AccessMode.SINGLE_NODE_WRITER), readonly=False)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (_capability(AccessMode.SINGLE_NODE_WRITER), _capability(AccessMode.SINGLE_NODE_MULTI_WRITER), True),
        (_capability(AccessMode.SINGLE_NODE_WRITER), _capability(AccessMode.SINGLE_NODE_READER_ONLY), False),
        (_capability(AccessMode.SINGLE_NODE_WRITER), _capability(AccessMode.SINGLE_NODE_WRITER, "noatime"), False),
        (_capability(AccessMode.SINGLE_NODE_WRITER), Capability("block"), False),
    ],
)
def test_a_stage_is_the_same_when_it_lets_the_same_be_done(one: Capability, other: Capability, same: bool) -> None:
    """A newer kubelet that words the claim with another writer mode finds the volume staged, not in its way."""
    assert targets.same_stage(one, other) is same
