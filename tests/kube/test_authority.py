"""The driver's CA in a real API server's Secret and ConfigMap."""

import asyncio
import base64
import datetime
from pathlib import Path

import pytest
from kubernetes.aio.client import ApiClient, CoreV1Api

from driver.kube.api import Api
from driver.kube.authority import Authority
from driver.kube.core import Core, encoded
from driver.model.errors import FailedPrecondition, NotFound
from driver.rpc.tls import Material
from tests.certificates import CONTROLLER, DRIVER, now, somebodys
from tests.certificates import certificates as x509

NAME = "holdall-ca"


@pytest.fixture
def objects(api_client: ApiClient) -> CoreV1Api:
    return CoreV1Api(api_client)


def authority(api_client: ApiClient, namespace: str, directory: Path) -> Authority:
    return Authority(Core(Api(api_client), namespace), NAME, NAME, DRIVER, directory)


async def secret(objects: CoreV1Api, namespace: str) -> str:
    found = await objects.read_namespaced_secret(NAME, namespace)
    assert found.type == "kubernetes.io/tls"
    return base64.b64decode(found.data["tls.crt"]).decode()


async def bundle(objects: CoreV1Api, namespace: str) -> str:
    text: str = (await objects.read_namespaced_config_map(NAME, namespace)).data["ca.crt"]
    return text


async def test_controllers_that_start_at_once_end_with_one_ca(
    objects: CoreV1Api, api_client: ApiClient, namespace: str, tmp_path: Path
) -> None:
    """Five of them, none of which knows of the others; each can serve with a certificate of it."""
    all_ = [authority(api_client, namespace, tmp_path / str(number)) for number in range(5)]
    await asyncio.gather(*(one.refresh() for one in all_))
    ca = await secret(objects, namespace)
    assert await bundle(objects, namespace) == ca
    for one in all_:
        found = Material(one.directory).read()
        assert found.bundle.decode() == ca
        signer = x509.load(
            ca.encode(), base64.b64decode((await objects.read_namespaced_secret(NAME, namespace)).data["tls.key"])
        )
        assert x509.left(found.certificate.decode(), signer, now()) > 80_000


async def test_a_second_look_writes_nothing(
    objects: CoreV1Api, api_client: ApiClient, namespace: str, tmp_path: Path
) -> None:
    """The versions of both objects stay: a controller at rest asks, and changes nothing."""
    one = authority(api_client, namespace, tmp_path / "a")
    await one.refresh()
    before = [(await objects.read_namespaced_secret(NAME, namespace)).metadata.resource_version]
    before.append((await objects.read_namespaced_config_map(NAME, namespace)).metadata.resource_version)
    await one.refresh()
    after = [(await objects.read_namespaced_secret(NAME, namespace)).metadata.resource_version]
    after.append((await objects.read_namespaced_config_map(NAME, namespace)).metadata.resource_version)
    assert after == before


async def test_a_ca_replaced_from_outside_is_taken_and_both_are_trusted(
    objects: CoreV1Api, api_client: ApiClient, namespace: str, tmp_path: Path
) -> None:
    """As cert-manager renews it, and as an administrator does who deletes the Secret."""
    all_ = [authority(api_client, namespace, tmp_path / name) for name in "ab"]
    for one in all_:
        await one.refresh()
    first = await secret(objects, namespace)
    theirs = somebodys(datetime.timedelta(days=90))
    data = {"tls.crt": encoded(theirs.certificate_pem), "tls.key": encoded(theirs.key_pem)}
    await objects.patch_namespaced_secret(NAME, namespace, {"data": data})
    await asyncio.gather(*(one.refresh() for one in all_))
    assert await bundle(objects, namespace) == theirs.certificate_pem + first
    await objects.delete_namespaced_secret(NAME, namespace)
    await asyncio.gather(*(one.refresh() for one in all_))
    last = await secret(objects, namespace)
    assert last not in (first, theirs.certificate_pem)
    assert sorted(_each(await bundle(objects, namespace))) == sorted(_each(last + theirs.certificate_pem + first))
    for one in all_:
        assert Material(one.directory).read().bundle.decode() == await bundle(objects, namespace)


async def test_an_empty_secret_of_a_chart_is_filled_by_one(
    objects: CoreV1Api, api_client: ApiClient, namespace: str, tmp_path: Path
) -> None:
    """Controllers that have no right to create Secrets; its labels stay."""
    body = {
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "Helm"}},
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": "", "tls.key": ""},
    }
    await objects.create_namespaced_secret(namespace, body)
    all_ = [authority(api_client, namespace, tmp_path / str(number)) for number in range(3)]
    await asyncio.gather(*(one.refresh() for one in all_))
    assert await bundle(objects, namespace) == await secret(objects, namespace)
    labels = (await objects.read_namespaced_secret(NAME, namespace)).metadata.labels
    assert labels["app.kubernetes.io/managed-by"] == "Helm"


async def test_a_secret_of_another_kind_is_left_alone(
    objects: CoreV1Api, api_client: ApiClient, namespace: str, tmp_path: Path
) -> None:
    """It is named, and what is in it is not quoted."""
    await objects.create_namespaced_secret(
        namespace, {"metadata": {"name": NAME}, "string_data": {"tls.crt": "what is this", "tls.key": "hush"}}
    )
    with pytest.raises(FailedPrecondition, match=f"Secret {namespace}/{NAME} holds no CA") as refused:
        await authority(api_client, namespace, tmp_path / "a").refresh()
    assert "hush" not in refused.value.message


async def test_what_the_api_refuses_is_said_in_its_words(api_client: ApiClient, tmp_path: Path) -> None:
    """A namespace that is not there: named, and tried again."""
    with pytest.raises(NotFound, match=r"namespaces.*not found"):
        await authority(api_client, "nowhere", tmp_path / "a").refresh()


async def test_run_gets_there_by_itself(
    objects: CoreV1Api, api_client: ApiClient, namespace: str, tmp_path: Path
) -> None:
    """From nothing to a certificate that names the controller."""
    one = authority(api_client, namespace, tmp_path / "a")
    task = asyncio.create_task(one.run())
    await asyncio.wait_for(one.ready.wait(), 20)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    certificate = Material(one.directory).read().certificate
    assert CONTROLLER.encode() in _der(certificate)


def _each(bundle: str) -> list[str]:
    end = "-----END CERTIFICATE-----\n"
    return [f"{one}{end}" for one in bundle.split(end) if one]


def _der(pem: bytes) -> bytes:
    return base64.b64decode(b"".join(pem.splitlines()[1:-1]))
