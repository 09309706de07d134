"""What the chart renders to: the rules of docs/design.md section 4 and of a pod that mounts for others."""

import pytest

from tools import chart as rendering

from .conftest import EVERYTHING
from .rendered import Chart, Rendered


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["plain", "everything"])
def test_helm_lint_is_content(chart: Chart, values: dict[str, object]) -> None:
    """``helm lint --strict`` has nothing to say."""
    chart.lint(values)


@pytest.mark.parametrize(
    "values",
    [
        {"contrller": {}},
        {"controller": {"replicas": 0}},
        {"controller": {"address": "no port"}},
        {"kubeletDir": "relative"},
        {"driverName": "Not A Name"},
        {"node": {"pools": [{"backend": "image"}]}},
        {"nodeGroups": [{"name": "without a selector"}]},
        {"storageClasses": [{"name": "x", "parameters": {"size": 3}}]},
    ],
    ids=str,
)
def test_values_that_mean_nothing_are_refused(chart: Chart, values: dict[str, object]) -> None:
    """A misspelt or impossible value is named, instead of installing something else."""
    with pytest.raises(rendering.Refused, match="values don't meet the specifications of the schema"):
        chart.render(values)


def test_the_csidriver_is_that_of_the_design(plain: Rendered) -> None:
    """One driver name for all backends, so these settings hold for each (design section 7)."""
    assert plain.one("CSIDriver")["spec"] == {
        "attachRequired": False,
        "podInfoOnMount": True,
        "storageCapacity": True,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "seLinuxMount": False,
        "requiresRepublish": False,
        "volumeLifecycleModes": ["Persistent", "Ephemeral"],
    }


def test_a_node_pod_has_one_container(plain: Rendered) -> None:
    """No registrar and no livenessprobe beside it: it registers itself and says itself how it is."""
    (container,) = plain.pod("DaemonSet")["containers"]
    assert container["securityContext"] == {"privileged": True, "readOnlyRootFilesystem": True}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}


def test_what_a_node_mounts_reaches_kubelet(chart: Chart) -> None:
    """kubelet's directory and the state directory are at the host's path, and mounts go both ways."""
    found = chart.render({"kubeletDir": "/data/kubelet", "stateDir": "/data/holdall"})
    hosts = {one["name"]: one["hostPath"]["path"] for one in found.pod("DaemonSet")["volumes"] if "hostPath" in one}
    mounts = {one["name"]: one for one in found.container("DaemonSet", "holdall")["volumeMounts"]}
    for name, path in (("kubelet", "/data/kubelet"), ("state", "/data/holdall")):
        assert (path, path) == (hosts[name], mounts[name]["mountPath"])
        assert mounts[name]["mountPropagation"] == "Bidirectional"


def test_no_mount_of_a_node_pod_lies_in_another_that_spreads(everything: Rendered) -> None:
    """A mount inside a Bidirectional one would spread to the host and stay there when the pod goes."""
    for daemons in everything.of("DaemonSet"):
        mounts = daemons["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        spreading = [one["mountPath"] for one in mounts if one.get("mountPropagation") == "Bidirectional"]
        for mount in mounts:
            assert not any(mount["mountPath"].startswith(f"{place}/") for place in spreading)


def test_a_node_has_nothing_of_the_api_but_a_token_for_its_controller(plain: Rendered) -> None:
    """The one token is bound to the pod and good for the driver alone."""
    pod = plain.pod("DaemonSet")
    assert pod["automountServiceAccountToken"] is False
    (token,) = [one["projected"]["sources"] for one in pod["volumes"] if "projected" in one]
    assert token == [
        {"serviceAccountToken": {"path": "token", "audience": "holdall.csi.dev", "expirationSeconds": 3600}}
    ]


def test_a_node_is_never_evicted_nor_kept_away(plain: Rendered) -> None:
    """A node that has pods with volumes needs its plugin, whatever taints it has."""
    pod = plain.pod("DaemonSet")
    assert pod["priorityClassName"] == "system-node-critical"
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["hostNetwork"] is True
    assert pod["hostPID"] is True
    assert pod["dnsPolicy"] == "ClusterFirstWithHostNet"


def test_no_container_of_the_controller_has_privileges(plain: Rendered) -> None:
    """It routes: it needs no root, no capability, and nothing to write but its volumes."""
    pod = plain.pod("Deployment")
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert [one["name"] for one in pod["containers"]] == [
        "holdall",
        "csi-provisioner",
        "csi-snapshotter",
        "csi-resizer",
    ]
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_provisioner_leaves_placement_to_the_controller(plain: Rendered) -> None:
    """Strict and immediate topology would keep a restore from its source's node (issue 4 section 1)."""
    arguments = plain.container("Deployment", "csi-provisioner")["args"]
    for wanted in (
        "--strict-topology=false",
        "--immediate-topology=false",
        "--enable-capacity",
        "--capacity-ownerref-level=2",
        "--extra-create-metadata",
        "--leader-election",
    ):
        assert wanted in arguments


def test_one_replica_needs_no_disruption_budget(chart: Chart) -> None:
    """Several are not all taken at once; a budget for one would keep a node from ever being drained."""
    assert chart.render().one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert not chart.render({"controller": {"replicas": 1}}).of("PodDisruptionBudget")


def test_a_group_of_nodes_has_its_pools(everything: Rendered) -> None:
    """Each group its DaemonSet, its nodes, and the directories of its pools; none for all beside them."""
    assert {one["metadata"]["name"] for one in everything.of("DaemonSet")} == {"holdall-node-nvme", "holdall-node-hdd"}
    pod = everything.pod("DaemonSet", "holdall-node-nvme")
    assert pod["nodeSelector"] == {"disk": "nvme", "kubernetes.io/os": "linux"}
    pools = {one["hostPath"]["path"] for one in pod["volumes"] if one["name"].startswith("pool-")}
    assert pools == {"/srv/nvme/holdall", "/srv/images"}


def test_daemonsets_of_two_groups_do_not_select_each_others_pods(everything: Rendered) -> None:
    """A DaemonSet deletes pods it selects and has not asked for."""
    selectors = [one["spec"]["selector"]["matchLabels"] for one in everything.of("DaemonSet")]
    assert selectors[0] != selectors[1]
    for one in everything.of("DaemonSet"):
        assert one["spec"]["selector"]["matchLabels"].items() <= one["spec"]["template"]["metadata"]["labels"].items()


def test_a_changed_configuration_restarts_the_pods(chart: Chart) -> None:
    """The driver reads its file once; the checksum in the pod template makes a change a new pod."""

    def mark(values: dict[str, object]) -> str:
        template = chart.render(values).one("DaemonSet")["spec"]["template"]
        return str(template["metadata"]["annotations"]["holdall.csi.dev/configuration"])

    assert mark({}) == mark({"controller": {"replicas": 3}})
    assert mark({}) != mark({"node": {"maxVolumes": 7}})


def test_nothing_of_the_cluster_is_installed_that_was_not_asked_for(plain: Rendered) -> None:
    """Kinds of cert-manager and the Prometheus operator may not exist there."""
    assert {one["apiVersion"].split("/")[0] for one in plain.objects} == {
        "v1",
        "apps",
        "policy",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
        "snapshot.storage.k8s.io",
        "groupsnapshot.storage.k8s.io",
        "apiextensions.k8s.io",
    }


def test_two_releases_share_no_name_but_the_classes(chart: Chart) -> None:
    """Two drivers, each with its own name, in one cluster."""
    other = {
        "driverName": "other.csi.dev",
        "storageClasses": [],
        "volumeSnapshotClasses": [],
        "volumeGroupSnapshotClasses": [],
    }
    first, second = (
        {
            (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
            for one in rendered.objects
            if one["kind"] != "CustomResourceDefinition"
        }
        for rendered in (chart.render(), chart.render(other, release="other"))
    )
    assert not first & second


def test_the_manifests_are_what_the_chart_renders_to() -> None:
    """deploy/manifests is renewed with the chart: ``make manifests``."""
    assert rendering.MANIFESTS.read_text() == rendering.manifests()
