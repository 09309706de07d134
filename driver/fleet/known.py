"""What nodes said of themselves, kept for as long as they are lost: above all, which pool is whose."""

from typing import Protocol

from .nodes import Description


class Known(Protocol):
    """Implemented by fleet.memory.Memory for one controller, and by kube.state.State for all of a cluster."""

    async def descriptions(self) -> dict[str, Description]:
        """By the node's name; perhaps with less in it than was said, but with every pool's id."""

    async def describe(self, name: str, description: Description) -> None:
        """``name`` said this of itself."""

    async def give_up(self, name: str) -> None:
        """``name`` will not come back: nothing is known of it any more."""
