"""[kubernetes] in the configuration file: what it may say, and how a mistake is named."""

from pathlib import Path

import pytest

from driver.cli import config
from driver.model import errors


def load(tmp_path: Path, text: str) -> config.Config:
    file = tmp_path / "holdall.toml"
    file.write_text(text)
    return config.load(str(file), {"node_id": "n"})


def test_a_namespace_is_enough(tmp_path: Path) -> None:
    """Everything else is as the chart has it."""
    found = load(tmp_path, '[kubernetes]\nnamespace = "holdall"\n').kubernetes
    assert found is not None
    assert (found.namespace, found.node_port, found.enrolment_address) == ("holdall", 9808, ":9809")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"\$\.kubernetes\.namespace: missing, and required"),
        ('namespace = "Up"', r"\$\.kubernetes\.namespace: 'Up' is not the name of a Kubernetes object"),
        ('namespace = "a"\nnode_port = 0', r"\$\.kubernetes\.node_port: 0 is not a port"),
        ('namespace = "a"\nenrolment_address = "x"', r"\$\.kubernetes\.enrolment_address: endpoint 'x'"),
        ('namespace = "a"\nkubeconfig = "x"', r"\$\.kubernetes\.kubeconfig: 'x' is not an absolute path"),
        ('namespace = "a"\nnodes = 1', r"\$\.kubernetes\.nodes: unknown key; known are namespace, node_selector"),
        ('namespace = "a"\n[[node]]\nname = "n"\nendpoint = "/n.sock"', r"\$\.kubernetes: .*\[\[node\]\] tables"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=said):
        load(tmp_path, f"[kubernetes]\n{text}\n")
