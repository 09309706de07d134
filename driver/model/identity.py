"""Who is who between controller and nodes: the names their certificates carry, and what a token says of its bearer."""

import msgspec


class NodeIdentity(msgspec.Struct, frozen=True):
    """The node, and the pod on it, that a token was made for."""

    node: str
    pod: str = ""


def controller_name(driver_name: str) -> str:
    """The DNS name in the certificate of every controller."""
    return f"controller.{driver_name}".lower()


def node_name(node_id: str, driver_name: str) -> str:
    """The DNS name in the certificate of this one node. No node's name makes it a controller's."""
    return f"{node_id}.node.{driver_name}".lower()
