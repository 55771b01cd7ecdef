"""The product's client against a real API server: its credentials, its refusals, its faults.

A pod's files stand in a folder here; the accounts, tokens and certificates are the cluster's own. What a healthy server
does not say by itself, a gate in front of it says, and the server tells what then happened.
"""

import base64
import http.client
import json
import secrets
import ssl
import sys
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes.config import incluster_config

from shared.dev.cluster_budget import is_ready
from shared.kube import facts
from shared.kube import write as kube_write
from shared.kube.client import connect
from shared.kube.errors import KubeDown, KubeError, Refused, Throttled
from shared.model.facts import ObjectRef
from shared.model.plan import Write
from shared.settings import Kube as KubeSettings
from shared.settings import Settings
from tests.cluster.api import until
from tests.cluster.gate import Gate
from tests.cluster.real import idle_pod
from tests.kube.cold import run as a_cold_run
from tests.kube.scripted import Authority

RBAC = "/apis/rbac.authorization.k8s.io/v1"
FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
MAY = [
    {"apiGroups": [""], "resources": ["configmaps", "namespaces", "pods"], "verbs": ["get", "list", "patch", "create"]},
    {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "patch"]},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list"]},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["list"]},
]
NO_CERTIFICATE = "certificate verify failed"


@pytest.fixture(scope="module")
def place(api):
    """A namespace with the ConfigMap `kept` in it."""
    with api.namespace("akeso-client") as name:
        api.ok("POST", f"/api/v1/namespaces/{name}/configmaps", {"metadata": {"name": "kept"}, "data": {"a": "0"}})
        yield name


@pytest.fixture
def account(api, place):
    """Makes accounts that may do what is in MAY, and answers the name of one."""

    def make():
        name = f"a-{secrets.token_hex(3)}"
        api.ok("POST", f"/api/v1/namespaces/{place}/serviceaccounts", {"metadata": {"name": name}})
        api.ok("POST", f"{RBAC}/namespaces/{place}/roles", {"metadata": {"name": name}, "rules": MAY})
        api.ok("POST", f"{RBAC}/namespaces/{place}/rolebindings", {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": place}],
        })  # fmt: skip
        token = api.token(place, name)
        kept = f"/api/v1/namespaces/{place}/configmaps/kept"
        until(lambda: api("GET", kept, token=token).status == 200, "the role does not count")
        return name

    return make


@pytest.fixture
def token(api, place, account):
    return api.token(place, account())


@pytest.fixture
def pod(api, token, tmp_path, monkeypatch):
    """The token's file, in a process that takes itself for a pod of the cluster."""
    if not api.ca:
        pytest.skip("this cluster's certificate is signed by an authority that everybody knows")
    file = tmp_path / "token"
    file.write_text(token)
    server = urlsplit(api.url)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(file))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(api.ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", server.hostname)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port or 443))
    return file


@pytest.fixture
def gate(api):
    with Gate(api) as gate:
        yield gate


@pytest.fixture
def to(api, token, gate, tmp_path):
    """An account's client, through the gate."""
    return connect(settings(api.kubeconfig_of(token, tmp_path / "gated", server=gate.url)), "akeso-test")


def settings(kubeconfig="", timeout_ms=20_000):
    return Settings(kube=KubeSettings(kubeconfig=str(kubeconfig), timeout_ms=timeout_ms))


def kubeconfig(api, file, user, ca=None):
    cluster = {"server": api.url, **({"certificate-authority": str(ca or api.ca)} if ca or api.ca else {})}
    file.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }))  # fmt: skip
    return settings(file)


def revoke(api, place, token):
    """Delete the token's account, and wait until the server has forgotten that it once believed the token."""
    asks = ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {"kind": "SelfSubjectReview"})
    body = {"apiVersion": "authentication.k8s.io/v1", **asks[2]}
    user = api.ok(*asks[:2], body, token=token)["status"]["userInfo"]["username"]
    api.ok("DELETE", f"/api/v1/namespaces/{place}/serviceaccounts/{user.rpartition(':')[2]}")
    until(lambda: api(*asks[:2], body, token=token).status == 401, "the token is believed for ever")


def kept(api, place):
    return api.ok("GET", f"/api/v1/namespaces/{place}/configmaps/kept")


def write(to, place, value):
    to.patch("ConfigMap", place, "kept", {"data": {"a": value}}, form="merge", field_manager="akeso-grow")


@pytest.mark.usefixtures("pod")
class TestInAPod:
    def test_the_accounts_token_and_ca_are_all_that_it_needs(self, place):
        assert connect(settings(), "a").get("ConfigMap", place, "kept")["data"]

    def test_a_server_that_another_authority_vouches_for_is_refused(self, place, tmp_path, monkeypatch):
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(Authority(tmp_path / "other").ca))

        with pytest.raises(KubeDown, match=NO_CERTIFICATE):
            connect(settings(), "a").get("ConfigMap", place, "kept")

    def test_a_token_that_was_replaced_on_disk_is_in_use_as_soon_as_the_old_one_is_revoked(
        self, api, pod, token, place, account
    ):
        to = connect(settings(), "a")
        assert to.get("ConfigMap", place, "kept")
        pod.write_text(api.token(place, account()))
        revoke(api, place, token)

        assert to.get("ConfigMap", place, "kept")

    def test_a_revoked_token_without_a_new_one_is_401_and_stays_secret(self, api, token, place):
        to = connect(settings(), "a")
        revoke(api, place, token)

        with pytest.raises(KubeDown) as caught:
            to.get("ConfigMap", place, "kept")

        assert caught.value.status == 401
        assert token not in str(caught.value)

    def test_a_write_with_a_revoked_token_has_no_effect_and_the_next_one_has_the_new_token(
        self, api, pod, token, place, account
    ):
        to = connect(settings(), "a")
        pod.write_text(api.token(place, account()))
        revoke(api, place, token)
        before = kept(api, place)

        with pytest.raises(KubeDown) as caught:
            write(to, place, secrets.token_hex(4))

        assert not caught.value.unclear
        assert kept(api, place) == before
        write(to, place, value := secrets.token_hex(4))
        assert kept(api, place)["data"]["a"] == value


class TestKubeconfig:
    def test_the_given_one(self, api):
        assert connect(settings(api.kubeconfig), "a").get("Namespace", "", "default")

    def test_a_token(self, api, token, place, tmp_path):
        assert connect(kubeconfig(api, tmp_path / "c", {"token": token}), "a").get("ConfigMap", place, "kept")

    def test_a_file_with_a_token_that_is_replaced(self, api, token, place, account, tmp_path):
        (tmp_path / "token").write_text(f"{token}\n")
        to = connect(kubeconfig(api, tmp_path / "c", {"tokenFile": str(tmp_path / "token")}), "a")
        assert to.get("ConfigMap", place, "kept")
        (tmp_path / "token").write_text(api.token(place, account()) + "\n")
        revoke(api, place, token)

        assert to.get("ConfigMap", place, "kept")

    def test_a_plugin_that_is_run_again_when_its_token_is_revoked(self, api, token, place, account, tmp_path):
        (tmp_path / "token").write_text(token)
        code = (
            "import json, pathlib; print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', "
            "'kind': 'ExecCredential', 'status': {'token': pathlib.Path("
            f"{str(tmp_path / 'token')!r}).read_text()}}}}))"
        )
        plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": ["-c", code]}
        to = connect(kubeconfig(api, tmp_path / "c", {"exec": plugin}), "a")
        assert to.get("ConfigMap", place, "kept")
        (tmp_path / "token").write_text(api.token(place, account()))
        revoke(api, place, token)

        assert to.get("ConfigMap", place, "kept")

    def test_a_server_that_another_authority_vouches_for_is_refused(self, api, token, place, tmp_path):
        other = Authority(tmp_path / "other").ca

        with pytest.raises(KubeDown, match=NO_CERTIFICATE) as caught:
            connect(kubeconfig(api, tmp_path / "c", {"token": token}, ca=other), "a").get("ConfigMap", place, "kept")

        assert token not in str(caught.value)


class TestRefusals:
    def test_a_token_that_nobody_gave_out_is_401(self, api, place, tmp_path):
        with pytest.raises(KubeDown) as caught:
            connect(kubeconfig(api, tmp_path / "c", {"token": "made-up"}), "a").get("ConfigMap", place, "kept")

        assert caught.value.status == 401

    def test_what_rbac_forbids_is_refused_and_asked_for_once(self, to, place, gate):
        with pytest.raises(Refused, match="cannot get resource") as caught:
            to.get("PersistentVolumeClaim", place, "any")

        assert caught.value.status == 403
        assert len(gate.requests) == 1

    def test_an_eviction_against_a_budget_is_throttled_and_asked_for_once(self, api, to, place, gate):
        name = f"p-{secrets.token_hex(3)}"
        body = {"metadata": {"name": name, "labels": {"app": name}}, "spec": idle_pod()}
        pod = api.ok("POST", f"/api/v1/namespaces/{place}/pods", body)
        budget = f"/apis/policy/v1/namespaces/{place}/poddisruptionbudgets"
        spec = {"minAvailable": 2, "selector": {"matchLabels": {"app": name}}}
        api.ok("POST", budget, {"metadata": {"name": name}, "spec": spec})
        path = f"/api/v1/namespaces/{place}/pods/{name}"
        # What is not ready yet is evicted whatever a budget says.
        until(lambda: is_ready(api.ok("GET", path)), "the pod does not become ready")
        until(lambda: "observedGeneration" in api.ok("GET", f"{budget}/{name}").get("status", {}), "nobody counts")
        version = api.ok("GET", path)["metadata"]["resourceVersion"]
        target = ObjectRef(kind="Pod", namespace=place, name=name, uid=pod["metadata"]["uid"])

        with pytest.raises(Throttled, match="disruption budget"):
            kube_write.apply(
                to, Write(verb="evict", target=target), mark="g/0", undo=False, field_manager="akeso-x",
                resource_version=version, dry_run=False,
            )  # fmt: skip

        assert [request.verb for request in gate.requests].count("evict") == 1
        assert "deletionTimestamp" not in api.ok("GET", path)["metadata"]

    @pytest.fixture
    def shed(self, api, place, token):
        """Lets the server turn every request of the account away, by its own priority and fairness."""
        name = f"akeso-test-{secrets.token_hex(4)}"
        user = json.loads(_decoded(token.split(".")[1]))["sub"]
        none = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0}
        level = {**none, "limitResponse": {"type": "Reject"}}
        everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"], "namespaces": ["*"], "clusterScope": True}
        who = {"kind": "ServiceAccount", "serviceAccount": {"name": user.rpartition(":")[2], "namespace": place}}
        path = f"/api/v1/namespaces/{place}/configmaps"
        server, held = urlsplit(api.url), []

        def turned_away():
            # One request passes though there is no place at all. This one takes it, and its body never comes.
            slow = http.client.HTTPSConnection(
                server.hostname, server.port or 443, context=ssl.create_default_context(cafile=api.ca)
            )
            held.append(slow)
            slow.putrequest("POST", path)
            for name, value in {"Authorization": f"Bearer {token}", "Content-Length": "1000"}.items():
                slow.putheader(name, value)
            slow.endheaders()
            return api("GET", f"{path}/kept", token=token).status == 429

        try:
            api.ok("POST", f"{FLOW}/prioritylevelconfigurations", {
                "metadata": {"name": name}, "spec": {"type": "Limited", "limited": level},
            })  # fmt: skip
            api.ok("POST", f"{FLOW}/flowschemas", {"metadata": {"name": name}, "spec": {
                "priorityLevelConfiguration": {"name": name}, "matchingPrecedence": 2,
                "rules": [{"subjects": [who], "resourceRules": [everything]}],
            }})  # fmt: skip
            until(turned_away, "nothing is turned away")
            yield
        finally:
            for slow in held:
                slow.close()
            api("DELETE", f"{FLOW}/flowschemas/{name}")
            api("DELETE", f"{FLOW}/prioritylevelconfigurations/{name}")

    @pytest.mark.usefixtures("shed")
    def test_a_server_that_sheds_load_is_asked_again_for_a_read_and_not_for_a_write(self, api, to, place, gate):
        before = kept(api, place)

        with pytest.raises(Throttled):
            to.get("ConfigMap", place, "kept")
        with pytest.raises(Throttled) as caught:
            write(to, place, secrets.token_hex(4))

        assert caught.value.retry_after_s > 0
        assert [(asked.verb, asked.status) for asked in gate.requests] == [("get", 429), ("get", 429), ("patch", 429)]
        assert kept(api, place) == before


FAULTS = [
    {"status": 429, "headers": {"Retry-After": "1"}, "body": b"Too many requests, please try again later."},
    {"status": 429, "body": {"kind": "Status", "code": 429, "details": {"retryAfterSeconds": 1}}},
    *({"status": status} for status in (500, 502, 503, 504, 0)),
]
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault['status'] or 'nothing'}")


@pytest.fixture(scope="module")
def crashed(api, place):
    """A real pod whose container runs for the second time."""
    spec = idle_pod("if [ -e /work/x ]; then echo again; exec sleep 999; fi; touch /work/x; echo one; echo two; exit 1")
    (container,) = spec["containers"]
    container |= {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    container |= {"resources": {"requests": {"memory": "16Mi"}, "limits": {"memory": "32Mi"}}}
    spec |= {"volumes": [{"name": "work", "emptyDir": {}}]}
    path = f"/api/v1/namespaces/{place}/pods"
    api.ok("POST", path, {"metadata": {"name": "crashed"}, "spec": spec})

    def again():
        found = api.ok("GET", f"{path}/crashed")
        return found if is_ready(found) and found["status"]["containerStatuses"][0]["restartCount"] else None

    return until(again)


class TestAPodThatCrashedOnce:
    def log(self, to, place, *, previous, lines=9, most=999):
        return to.log(place, "crashed", "app", previous=previous, tail_lines=lines, limit_bytes=most)

    @pytest.mark.usefixtures("crashed")
    def test_has_the_logs_of_both_runs(self, to, place):
        assert self.log(to, place, previous=True) == "one\ntwo\n"
        assert self.log(to, place, previous=True, lines=1) == "two\n"
        assert self.log(to, place, previous=True, most=5) == "one\nt"
        until(lambda: self.log(to, place, previous=False) == "again\n", "it runs and has said nothing")

    def test_has_events_of_its_own_and_nobody_elses(self, to, place, crashed):
        uid = crashed["metadata"]["uid"]
        found = until(lambda: to.events(place, uid=uid, limit=500))

        assert {event["involvedObject"]["uid"] for event in found} == {uid}
        assert len(to.events(place, uid=uid, limit=1)) == 1
        assert to.events(place, uid="none", limit=500) == []

    def test_is_given_more_memory_in_place(self, api, to, place, crashed):
        path, one = "/spec/containers/0/resources/limits/memory", f"/api/v1/namespaces/{place}/pods/crashed"
        body = [{"op": "test", "path": path, "value": "32Mi"}, {"op": "replace", "path": path, "value": "48Mi"}]
        with pytest.raises(Refused):
            to.patch("Pod", place, "crashed", body, form="json", field_manager="akeso-test")

        to.patch("Pod", place, "crashed", body, form="json", field_manager="akeso-test", sub="resize")

        after = until(lambda: (found := api.ok("GET", one))["status"]["containerStatuses"][0].get("resources", {})
                      .get("limits") == {"memory": "48Mi"} and found)  # fmt: skip
        assert after["metadata"]["uid"] == crashed["metadata"]["uid"]
        restarts = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in (crashed, after)]
        assert restarts[0] == restarts[1]

    def test_unlike_one_that_never_did_whose_last_run_has_no_log(self, api, to, place):
        api.ok("POST", f"/api/v1/namespaces/{place}/pods", {"metadata": {"name": "calm"}, "spec": idle_pod()})
        until(lambda: is_ready(api.ok("GET", f"/api/v1/namespaces/{place}/pods/calm")))

        assert to.log(place, "calm", "app", previous=True, tail_lines=9, limit_bytes=99) == ""
        with pytest.raises(Refused, match="container nope is not valid"):
            to.log(place, "calm", "nope", previous=False, tail_lines=9, limit_bytes=99)


class TestCounting:
    def test_is_right_by_one_request_for_one_object(self, api, to, place, gate):
        maps = f"/api/v1/namespaces/{place}/configmaps"
        for number in range(7):
            api.ok("POST", maps, {"metadata": {"name": f"counted-{number}"}})
        there = len(api.ok("GET", maps)["items"])

        assert to.count("ConfigMap", place) == there > 7
        assert [request.path for request in gate.requests] == [maps]

    def test_of_none_is_none(self, to, place):
        assert to.count("Deployment", place) == 0


class TestFaults:
    @each_fault
    def test_a_read_is_made_once_more(self, to, place, gate, fault):
        gate.fault(verb="get", **fault)

        assert to.get("ConfigMap", place, "kept")["data"]
        assert [request.status for request in gate.requests] == [fault["status"], 200]

    @each_fault
    def test_and_no_more_than_once(self, to, place, gate, fault):
        gate.fault(verb="list", times=3, **fault)

        with pytest.raises(KubeError):
            to.list("Pod", place)
        assert len(gate.requests) == 2

    @each_fault
    @pytest.mark.parametrize("applied", [False, True])
    def test_a_write_is_never_made_again_and_says_whether_it_may_have_happened(
        self, api, to, place, gate, fault, applied
    ):
        gate.fault(verb="patch", applied=applied, **fault)
        before, value = kept(api, place), secrets.token_hex(4)

        with pytest.raises((KubeDown, Throttled)) as caught:
            write(to, place, value)

        assert getattr(caught.value, "unclear", False) == (fault["status"] != 429)
        assert [request.verb for request in gate.requests] == ["patch"]
        now = kept(api, place)
        assert now == before if not applied else now["data"]["a"] == value

    def test_a_stop_that_cannot_be_read_is_freeze(self, to, place, gate):
        gate.fault(verb="get", times=2)

        assert facts.stop_mode(to, place) == "freeze"


class TestAColdExecutor:
    @pytest.fixture
    def cold(self, api, pod, place, tmp_path):
        name = f"d-{secrets.token_hex(3)}"
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": idle_pod()}
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
        body = {"metadata": {"name": name}, "spec": spec}
        path = f"/apis/apps/v1/namespaces/{place}/deployments"
        api.ok("POST", path, body)
        # Its controller has then written all that it has to say of it.
        until(lambda: "NewReplicaSetAvailable" in str(api.ok("GET", f"{path}/{name}").get("status", {})))
        server = urlsplit(api.url)
        (tmp_path / "tmp").mkdir()
        made = a_cold_run(
            tmp_path / "tmp", token=pod, ca=api.ca, host=server.hostname, port=server.port or 443, namespace=place,
            name=name, home=place,
        )  # fmt: skip
        return made, api.ok("GET", f"{path}/{name}")

    def test_asks_for_no_discovery_writes_nothing_to_disk_and_leaves_its_name(self, cold, place):
        made, deployment = cold

        assert made.written == []
        assert [path for _, path in made.requests if f"/namespaces/{place}" not in path] == []
        assert [method for method, _ in made.requests].count("PATCH") == 1
        assert deployment["spec"]["replicas"] == 1
        managers = {entry["manager"]: entry["fieldsV1"] for entry in deployment["metadata"]["managedFields"]}
        assert "f:replicas" in managers["akeso-grow"]["f:spec"]


def _decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
