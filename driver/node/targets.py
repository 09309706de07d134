"""Who may have a volume at which paths at once: the tables of CSI NodeStageVolume and NodePublishVolume. Pure."""

from ..engine.uses import Target, Use
from ..host import mount_options, mounts
from ..model import errors
from ..model.capability import Capability


def reads_only(capability: Capability, readonly: bool = False) -> bool:
    """Whether nobody may write: by the call's flag, by the access mode, or by the mount option ``ro`` (the last word wins)."""
    if readonly or capability.mode.reads_only:
        return True
    if not capability.mount_flags:
        return False
    return bool(mounts.parse_options(capability.mount_flags).attributes & mount_options.RDONLY)


def target_reads_only(target: Target) -> bool:
    """Whether nobody may write through this target."""
    return reads_only(target.capability, target.readonly)


def same_stage(one: Capability, other: Capability) -> bool:
    """Whether a volume staged for ``one`` is staged just so for ``other``. The mode matters in what it lets be written:
    a newer kubelet may word the same claim with another mode."""
    return (one.access, one.mount_flags, one.mode.reads_only) == (
        other.access,
        other.mount_flags,
        other.mode.reads_only,
    )


def refuse_capability(use: Use, capability: Capability, readonly: bool) -> None:
    """FailedPrecondition when the volume is staged in a way that ``capability`` cannot be had from."""
    if capability.access != use.capability.access:
        raise errors.FailedPrecondition(
            f"volume {use.volume_id} is staged for {use.capability.access} access, not {capability.access}"
        )
    if capability.fs_type and use.fs_type and capability.fs_type != use.fs_type:
        raise errors.FailedPrecondition(
            f"volume {use.volume_id} has filesystem {use.fs_type}, not {capability.fs_type}"
        )
    if use.read_only and not reads_only(capability, readonly):
        raise errors.FailedPrecondition(
            f"volume {use.volume_id} is staged read-only; unstage it, and stage it for writing"
        )


def standing(use: Use, path: str, wanted: Target) -> list[str]:
    """The other target paths that stand in the way of ``wanted`` at ``path``: none, unless one of them, old or new, is
    to be the only one."""
    others = {known: target for known, target in use.targets.items() if known != path}
    if wanted.capability.mode.one_target:
        return list(others)
    return [known for known, target in others.items() if target.capability.mode.one_target]


def second_refused(use: Use, rivals: list[str], wanted: Target) -> errors.FailedPrecondition:
    """The refusal of a second target path, in the words of the access mode that asks for it."""
    modes = {wanted.capability.mode, *(use.targets[path].capability.mode for path in rivals)}
    mode = min(mode for mode in modes if mode.one_target).name
    return errors.FailedPrecondition(
        f"volume {use.volume_id} is published at {', '.join(rivals)}; access mode {mode} allows one target path on a "
        "node: unpublish that one first"
    )


def differs(use: Use, path: str, wanted: Target) -> errors.AlreadyExists:
    """The refusal of the same path with other arguments."""
    known = use.targets[path]
    return errors.AlreadyExists(
        f"volume {use.volume_id} is published at {path} as {_words(known)}, not as {_words(wanted)}; unpublish it first"
    )


def _words(target: Target) -> str:
    capability = target.capability
    parts = [capability.access, capability.mode.name, "read-only" if target.readonly else "", *capability.mount_flags]
    return " ".join(part for part in parts if part)
