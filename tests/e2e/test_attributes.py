"""VolumeAttributesClasses: what a volume does, changed while it is in use."""

from .space import Space

WRITE = "yes 'the same line again' | head -c 8000000 >/data/{name}; sync"


def taken_mib(space: Space) -> float:
    """What the volume takes of its pool: its subvolume's quota counts compressed data compressed (btrfs-qgroup(8))."""
    node = space.cluster.node(space.node_of("packed"))
    (subvolume,) = space.pool_has(node.name, space.handle_of("packed"))
    place = f"/{subvolume.relative_to(node.root)}"
    line = node.run("btrfs", "qgroup", "show", "--sync", "--raw", "-f", place).splitlines()[-1]
    return int(line.split()[1]) / 1024**2


def test_compression_changed_in_use_holds_for_what_is_written_next(space: Space) -> None:
    """The same bytes take their size before the change, and a fraction of it after."""
    space.example("volume-attributes-class")
    space.ready("packed")
    space.sh("packed", WRITE.format(name="plain"))
    plain = taken_mib(space)
    space.patch("pvc/packed", {"volumeAttributesClassName": "holdall-zstd"})
    space.kubectl(
        "wait", "--for=jsonpath={.status.currentVolumeAttributesClassName}=holdall-zstd", "--timeout=60s", "pvc/packed"
    )
    space.sh("packed", WRITE.format(name="packed"))
    packed = taken_mib(space) - plain
    assert plain > 7
    assert packed < 1
    assert space.sh("packed", "cmp /data/plain /data/packed && echo same") == "same\n"
