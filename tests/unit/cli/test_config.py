"""The configuration: read strictly, every refusal names the place, and what is nearer to the operator wins."""

import socket
from pathlib import Path

import pytest

from driver.cli import config
from driver.model import sizes
from driver.model.config import Config, EnrolmentConfig, NodeEndpoint
from driver.model.errors import InvalidArgument
from driver.model.pool import PoolConfig

GIVEN = {"node_id": "n1"}


def read(tmp_path: Path, text: str, **given: str) -> Config:
    file = tmp_path / "holdall.toml"
    file.write_text(text)
    return config.load(str(file), GIVEN | given)


def refusal(tmp_path: Path, text: str, **given: str) -> str:
    with pytest.raises(InvalidArgument) as refused:
        read(tmp_path, text, **given)
    return refused.value.message.replace(f"{tmp_path}/", "")


def test_no_file_gives_the_defaults() -> None:
    """Nothing has to be configured: state directory, socket and node id have defaults, and there is no pool."""
    found = config.load("", {})
    assert found.state_dir == "/var/lib/holdall"
    assert found.endpoint == "unix:///run/holdall/csi.sock"
    assert found.node_id == socket.gethostname()
    assert found.driver_name == "holdall.csi.dev"
    assert found.pools == ()
    assert found.max_volumes_per_node == 128


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """Every key has its effect; a pool's unknown keys are its backend's, and sizes are words or numbers."""
    found = read(
        tmp_path,
        """
        driver_name = "csi.example.org"
        state_dir = "/srv/holdall"
        endpoint = "unix:///run/a.sock"
        controller_endpoint = "unix:/run/b.sock"
        registration_dir = "/var/lib/kubelet/plugins_registry"
        kubelet_endpoint = "/var/lib/kubelet/plugins/a/csi.sock"
        metrics_address = ":9090"
        log_level = "debug"
        max_volumes_per_node = 8
        freeze_deadline = 5
        pool_threads = 2
        pool_patience = 1.5

        [[pool]]
        name = "ssd"
        backend = "image"
        path = "/srv/ssd"
        device_class = "ssd"
        thin_factor = 2
        floor = "10GiB"
        schedulable = false
        provisioning = "thick"

        [[pool]]
        name = "hdd"
        backend = "directory"
        path = "/srv/hdd"
        floor = 4096

        [[node]]
        name = "n2"
        endpoint = "/run/n2.sock"

        [default_pool]
        size = "100GiB"
        """,
    )
    assert found == Config(
        driver_name="csi.example.org",
        node_id="n1",
        state_dir="/srv/holdall",
        endpoint="unix:///run/a.sock",
        controller_endpoint="unix:///run/b.sock",
        registration_dir="/var/lib/kubelet/plugins_registry",
        kubelet_endpoint="unix:///var/lib/kubelet/plugins/a/csi.sock",
        metrics_address=":9090",
        log_level="debug",
        max_volumes_per_node=8,
        freeze_deadline=5.0,
        pool_threads=2,
        pool_patience=1.5,
        default_pool={"size": "100GiB"},
        nodes=(NodeEndpoint(name="n2", endpoint="unix:///run/n2.sock"),),
        pools=(
            PoolConfig(
                name="ssd",
                backend="image",
                path="/srv/ssd",
                device_class="ssd",
                thin_factor=2.0,
                floor=10 * sizes.GIB,
                schedulable=False,
                options={"provisioning": "thick"},
            ),
            PoolConfig(name="hdd", backend="directory", path="/srv/hdd", floor=4096),
        ),
    )


def test_a_node_may_be_reached_over_tcp_once_it_can_enrol(tmp_path: Path) -> None:
    """The table says how it comes by its certificate; the endpoint gets its one form."""
    found = read(
        tmp_path,
        """
        controller_endpoint = "tcp://:9808"
        [enrolment]
        controller = "holdall-controller.holdall.svc:9809"
        ca = "/etc/holdall/ca/ca.crt"
        token = "/var/run/secrets/holdall/token"
        """,
    )
    assert found.controller_endpoint == "tcp://[::]:9808"
    assert found.enrolment == EnrolmentConfig(
        "holdall-controller.holdall.svc:9809", "/etc/holdall/ca/ca.crt", "/var/run/secrets/holdall/token"
    )


def test_what_is_given_wins_over_the_file_and_empty_means_not_given(tmp_path: Path) -> None:
    """Option and environment come before the file, the file before the default; an empty variable says nothing."""
    text = 'state_dir = "/file"\nlog_level = "error"'
    found = read(tmp_path, text, state_dir="/option", log_level="", endpoint="")
    assert (found.state_dir, found.log_level) == ("/option", "error")
    assert found.endpoint == config.ENDPOINT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "holdall.toml: $.colour: unknown key; known are driver_name,"),
        ("driver_name = 3", "holdall.toml: $.driver_name: expected str, got int"),
        ("max_volumes_per_node = 0", "holdall.toml: $.max_volumes_per_node: expected int >= 1"),
        ('pool_patience = "x"', "holdall.toml: $.pool_patience: expected float, got str"),
        ("pool = 3", "holdall.toml: $.pool: expected array, got int"),
        ('[[pool]]\nname = "a"', "holdall.toml: $.pool[0].backend: missing, and required"),
        (
            '[[pool]]\nname = "a"\nbackend = "image"\npath = "/a"\n[[pool]]\nname = "b"\nbackend = 1',
            "holdall.toml: $.pool[1].backend: expected str, got int",
        ),
        (
            '[[pool]]\nname = "a"\nbackend = "image"\nfloor = "10GX"',
            "holdall.toml: $.pool[0].floor: '10GX' is not a size",
        ),
        ('[[pool]]\nname = "a"\nbackend = "image"\nfloor = -1', "holdall.toml: $.pool[0].floor: -1 is not a size"),
        ('[[pool]]\nname = "a"\nbackend = "image"\nfloor = 1.5', "holdall.toml: $.pool[0].floor: expected int | str"),
        (
            '[[pool]]\nname = "a"\nbackend = "image"\npath = "srv/a"',
            "holdall.toml: $.pool[0].path: 'srv/a' is not an absolute path",
        ),
        ('[[pool]]\nname = "../a"\nbackend = "image"', "holdall.toml: $.pool[0].name: '../a' will not do"),
        (
            '[[pool]]\nname = "a"\nbackend = "image"\ndevice_class = "a b"',
            "holdall.toml: $.pool[0].device_class: 'a b' will not do",
        ),
        (
            '[[pool]]\nname = "a"\nbackend = "image"\npath = "/a"\n[[pool]]\nname = "a"\nbackend = "image"\npath = "/b"',
            "holdall.toml: $.pool[1].name: 'a' is the name of $.pool[0] already",
        ),
        (
            '[[pool]]\nname = "a"\nbackend = "image"\npath = "/a"\n[[pool]]\nname = "b"\nbackend = "image"\npath = "/a/"',
            "holdall.toml: $.pool[1].path: '/a/' is the path of $.pool[0] already",
        ),
        ('[[node]]\nname = "a"', "holdall.toml: $.node[0].endpoint: missing, and required"),
        (
            '[[node]]\nname = "a"\nendpoint = "unix:///a.sock"\nport = 1',
            "holdall.toml: $.node[0].port: unknown key; known are name, endpoint",
        ),
        ('[[node]]\nname = "a"\nendpoint = "tcp://a:1"', "holdall.toml: $.node[0].endpoint: endpoint 'tcp://a:1'"),
        (
            '[[node]]\nname = "a"\nendpoint = "/a.sock"\n[[node]]\nname = "a"\nendpoint = "/b.sock"',
            "holdall.toml: $.node[1].name: 'a' is the name of another node already",
        ),
        (
            "controller_endpoint = 'tcp://0.0.0.0:9808'",
            "holdall.toml: $.controller_endpoint: 'tcp://0.0.0.0:9808' is a TCP port, and [enrolment] is missing",
        ),
        (
            "controller_endpoint = 'tcp://a'",
            "holdall.toml: $.controller_endpoint: endpoint 'a' is not of the form HOST:PORT",
        ),
        (
            "endpoint = 'tcp://a:1'",
            "holdall.toml: $.endpoint: endpoint 'tcp://a:1' is not of the form unix:///PATH.sock",
        ),
        ("[enrolment]\nca = '/c'\ntoken = '/t'", "holdall.toml: $.enrolment.controller: missing, and required"),
        (
            "[enrolment]\ncontroller = 'a'\nca = '/c'\ntoken = '/t'",
            "holdall.toml: $.enrolment.controller: endpoint 'a' is not of the form HOST:PORT",
        ),
        (
            "[enrolment]\ncontroller = 'a:1'\nca = 'c'\ntoken = '/t'",
            "holdall.toml: $.enrolment.ca: 'c' is not an absolute path",
        ),
        (
            "[enrolment]\ncontroller = 'a:1'\nca = '/c'\ntoken = '/t'\nkey = 'k'",
            "holdall.toml: $.enrolment.key: unknown key; known are controller, ca, token",
        ),
        ("[default_pool]\nthin_factor = 'x'", "holdall.toml: $.default_pool.thin_factor: expected float, got str"),
        ("[default_pool]\nfloor = '1 elephant'", "holdall.toml: $.default_pool.floor: '1 elephant' is not a size"),
        ("driver_name = 'a/b'", "holdall.toml: $.driver_name: 'a/b' will not do"),
        ("state_dir = 'here'", "holdall.toml: $.state_dir: 'here' is not an absolute path"),
        ("endpoint = 'csi.sock'", "holdall.toml: $.endpoint: endpoint 'csi.sock' is not of the form unix:///PATH.sock"),
        ("kubelet_endpoint = 'csi.sock'", "holdall.toml: $.kubelet_endpoint: endpoint 'csi.sock' is not of the form"),
        ("registration_dir = 'here'", "holdall.toml: $.registration_dir: 'here' is not an absolute path"),
        (
            f"registration_dir = '/{'x' * 90}'",
            f"holdall.toml: $.registration_dir: /{'x' * 90}/.holdall.csi.dev-reg.sock is",
        ),
        ("log_level = 'loud'", "holdall.toml: $.log_level: 'loud' is none of debug, info, warning, error"),
        ("a = = b", "holdall.toml is not TOML:"),
    ],
)
def test_a_wrong_file_is_refused_naming_the_place(tmp_path: Path, text: str, words: str) -> None:
    """A wrong key, type or value says where it is in the file and what is wanted (issue 3, "Bad input")."""
    assert refusal(tmp_path, text).startswith(words)


def test_a_wrong_option_is_refused_by_its_name(tmp_path: Path) -> None:
    """What did not come from the file is not blamed on it."""
    assert refusal(tmp_path, "", node_id="a b").startswith("--node-id: 'a b' will not do")
    assert refusal(tmp_path, "", endpoint="x").startswith("--endpoint: endpoint 'x' is not of the form")


def test_a_state_directory_given_on_the_command_line_may_be_relative(tmp_path: Path) -> None:
    """To where the shell is; what holds for a process's whole life is absolute."""
    assert read(tmp_path, "", state_dir="x").state_dir == f"{Path.cwd()}/x"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A configuration that was named has to be there."""
    with pytest.raises(InvalidArgument, match="cannot be read: No such file or directory"):
        config.load(str(tmp_path / "none.toml"), GIVEN)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """TOML is UTF-8."""
    file = tmp_path / "holdall.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgument, match="is not TOML"):
        config.load(str(file), GIVEN)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('backend = "tape"', "$.pool[0].backend: 'tape' is not known; known are btrfs, directory, image"),
        ('backend = "image"\npath = "/a"\ncolour = "x"', "$.pool[0].colour: pool a: backend image has no key 'colour'"),
    ],
)
def test_what_a_backend_refuses_is_placed_in_the_file(tmp_path: Path, lines: str, words: str) -> None:
    """Unknown backends and keys of a backend name the pool's table."""
    found = read(tmp_path, f'[[pool]]\nname = "a"\n{lines}')
    with pytest.raises(InvalidArgument) as refused:
        config.check_backends(found, "holdall.toml")
    assert refused.value.message.startswith(f"holdall.toml: {words}")
