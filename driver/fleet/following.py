"""A pool that turned up on another node: what refers to it elsewhere follows it."""

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

import msgspec


class Followed(msgspec.Struct, frozen=True):
    """A PersistentVolume of the pool. ``claim``: ``namespace/name``, empty for none. ``message``: why it was refused."""

    persistent_volume: str
    claim: str
    volume_id: str
    outcome: Literal["moved", "there", "refused"]
    message: str = ""


class Follower(Protocol):
    """Implemented by kube.follow.Follow."""

    def follow(self, pool_id: str) -> AsyncGenerator[Followed, None]:
        """One for each PersistentVolume of the pool, which is on the node that has the pool now, or was refused.

        FailedPrecondition when it is not certain which node that is; Unavailable when that or the API does not answer.
        """
