"""The functions as pods: the product's image under its real accounts, security contexts and limits."""

import os
import time
from pathlib import Path

import httpx
import pytest

from shared.action.catalogue import Catalogue
from tests.cluster.in_pods import InPods, bring
from tests.cluster.real import RealCluster
from tests.flows.harness import Scene

WITHOUT_ACCOUNT = ("intake", "router", "guard", "escalate", "deadletter")


@pytest.fixture(scope="module")
def cluster(api):
    with RealCluster(api, Catalogue.home()) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def installation(keeper, cluster, tmp_path_factory):
    """Every function as a pod, with Redis, a broker and a ticket system outside."""
    archive = Path(os.environ["AKESO_IMAGE"])
    print(f"\nimage of {archive.stat().st_size / 2**20:.0f} MiB imported in {bring(keeper.folder, archive):.1f} s")
    with InPods(keeper, cluster, tmp_path_factory.mktemp("pods")) as installation:
        yield installation


class TestOneIncident:
    def test_goes_through_them_all_and_is_verified(self, installation, keeper):
        installation.tick()  # hydrates
        scene = Scene(installation)
        namespace, alert = scene.patient()

        incident, _ = scene.verified(namespace, alert)

        assert scene.record(incident)["state"] == "closed"
        assert scene.ready(namespace) == 3
        assert keeper.effects(installation.home, namespace) == ["patch deployments executor-scale-deployment"]
        lines = keeper.audited(installation.home, namespace)
        asked = {line["user"]["username"].rpartition(":")[2] for line in lines}
        assert asked == {"triage", "executor-scale-deployment", "verifier"}
        assert all(line["sourceIPs"][0].startswith("10.244.") for line in lines)  # from pods, and nobody else

    def test_in_a_protected_namespace_ends_as_a_ticket(self, installation):
        scene = Scene(installation)
        namespace = scene.namespace("auto")
        scene.policy(protected_namespaces=[namespace])
        scene.deployment(namespace)

        scene.fire(scene.alert(namespace))
        incident = scene.until_word("denied", namespace)

        scene.until(lambda: scene.tick() and scene.tickets(incident))
        assert "protected" in str(scene.tickets(incident)[0]["content"])
        assert scene.replicas(namespace) == 1


class TestEachPod:
    def test_runs_as_the_manifests_say(self, installation):
        for function in installation.functions:
            (pod,) = installation.pods_of(function["metadata"]["name"])
            (container,) = pod["spec"]["containers"]
            security = container["securityContext"]
            assert security["runAsNonRoot"] is True
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
            assert pod["spec"]["serviceAccountName"] == function["metadata"]["name"]

    def test_has_a_token_only_where_it_has_an_account(self, installation):
        for name in WITHOUT_ACCOUNT:
            (pod,) = installation.pods_of(name)
            mounts = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
            assert "/var/run/secrets/kubernetes.io/serviceaccount" not in mounts, name

    def test_logs_no_secret(self, installation):
        known = [path.read_text().strip() for path in (installation.folder / "secrets").iterdir()]
        known = [line for text in known for line in text.splitlines() if len(line) > 20 and "-----" not in line]
        for function in installation.functions:
            (pod,) = installation.pods_of(function["metadata"]["name"])
            place = f"/api/v1/namespaces/{installation.home}/pods/{pod['metadata']['name']}/log"
            said = str(installation._api("GET", place).body)
            assert not [secret for secret in known if secret in said], function["metadata"]["name"]


class TestStartUp:
    @pytest.mark.parametrize("cpu", ["250m", "1000m", ""])
    def test_under_a_cpu_limit_is_measured(self, installation, cluster, cpu):
        """Printed, not judged: from the pod's making to its first answer."""
        took = {}
        for name in ("intake", "guard", "executor-scale-deployment"):
            took[name] = _start(installation, cluster, name, cpu)
        print(f"\nstart-up with {cpu or 'no'} CPU limit: " + ", ".join(f"{n} {s:.1f} s" for n, s in took.items()))
        assert all(took.values())


def _start(installation, cluster, name, cpu):
    (function,) = (one for one in installation.functions if one["metadata"]["name"] == name)
    template = function["spec"]["template"]
    spec = {**template["spec"], "containers": [dict(template["spec"]["containers"][0])]}
    resources = spec["containers"][0]["resources"]
    if cpu:
        spec["containers"][0]["resources"] = {**resources, "limits": {**resources["limits"], "cpu": cpu}}
    pod = {"metadata": {"name": f"start-{name}-{cpu or 'free'}"}, "spec": spec}
    began = time.monotonic()
    cluster.put("Pod", installation.home, pod)
    try:
        address = ""
        while time.monotonic() - began < 120:
            found = cluster.get("Pod", installation.home, pod["metadata"]["name"])
            address = address or found["status"].get("podIP", "")
            if address and _answers(address):
                return time.monotonic() - began
            time.sleep(0.02)
        raise AssertionError(f"{name} does not start: {found['status']}")
    finally:
        cluster.delete("Pod", installation.home, pod["metadata"]["name"])


def _answers(address):
    try:
        return httpx.get(f"http://{address}:8080/healthz", timeout=1, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
