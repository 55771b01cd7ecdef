"""The API server itself refuses what an executor must not write: without Redis, without a process of ours, any RBAC.

The account under test may do everything in the cluster, so that no role refuses first. Each refused request is sent
once more by an account of another namespace with the same name and rights, and must pass: it is the fence that said no.
"""

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
import redis

from functions.actions.scale_deployment import ScaleDeployment
from shared.action.lifecycle import Attempt
from shared.event.here import Here
from shared.event.make import Emit
from shared.event.types import ApprovedData
from shared.kube import facts
from shared.kube import write as writing
from shared.kube.client import connect
from shared.kube.errors import Conflict, Refused
from shared.model.facts import ObjectRef, Scope
from shared.model.grant import Grant
from shared.model.plan import Write
from shared.settings import Kube, Settings
from tests.cluster.api import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Answer, Api, Object, until
from tests.cluster.install import Installation, installed
from tests.state.world import World

MARK, UNDO, AUTONOMY = writing.MARK, writing.UNDO, facts.AUTONOMY
ACCOUNT, DRAINS = "executor-scale-deployment", "executor-drain-node"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
NEW = {MARK: "g-9/0"}
UNDOES = {MARK: "g-9/0", UNDO: "g-9/0"}
SHUTS = {MARK: "g-1/0/fenced"}
WORKLOADS = {  # annotations that earlier writes have left
    "fresh": {},
    "marked": {MARK: "g-1/0"},
    "undone": {MARK: "g-2/0", UNDO: "g-2/0"},
    "rewritten": {MARK: "g-3/0", UNDO: "g-2/0"},
}

FREEZE, ASSUMED, STOP = "freeze is set", "freeze is assumed", "stop is set"
UNKNOWN = "freeze is set by what nobody knows"
PROTECTED, CLOSED, WIDE = "is protected", "is not opted in", "belong to the whole cluster"
UNMARKED, OLD, FORGED = "the mark is missing", "is an old one", "must be this write's own mark"
SCALE, UNDER, LABEL = "/scale cannot carry the mark", "create evictions alone", "set by people alone"
ERRAND = "nobody's errand"
PASSES = ""

Request = Callable[["Ground", str], Answer]


class Ground(NamedTuple):
    """An installation whose executor may do everything, and places of each kind to write to."""

    api: Api
    there: Installation
    executor: str  # tokens
    stranger: str
    places: dict[str, str]  # by autonomy, `home`, `kube-system`
    nodes: dict[str, str]  # by autonomy

    def mode(self, data: dict[str, str] | None) -> None:
        """Set what the stop ConfigMap says and wait until the API server judges by it."""
        self.mode_of(self.there, data)

    def mode_of(self, there: Installation, data: dict[str, str] | None) -> None:
        path = f"/api/v1/namespaces/{there.home}/configmaps/{facts.STOP_CONFIGMAP}"
        data = data and {key.format(**self.places): value for key, value in data.items()}
        now = self.api.ok("PATCH", path, [{"op": "add", "path": "/data", "value": data}], form=JSON_PATCH)
        version = now["metadata"]["resourceVersion"]
        witness = f"/api/v1/namespaces/{there.home}/configmaps"
        body = {"metadata": {"name": "akeso-witness"}}
        until(
            lambda: f"it sees {version}." in self.api("POST", witness, body, dryRun="All").said,
            "this API server does not see the stop ConfigMap: one that lost its last policy with such a parameter "
            "must be started again (kubernetes/kubernetes#130887); it comes true",
        )


def grant_everything(api: Api, made: ExitStack, home: str, account: str) -> None:
    name = f"akeso-test-{secrets.token_hex(4)}"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": home}
    api.ok("POST", BINDINGS, {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]})
    made.callback(api, "DELETE", f"{BINDINGS}/{name}")


def bear_witness(api: Api, made: ExitStack, home: str) -> None:
    """Let the API server tell which version of the stop ConfigMap it judges by."""
    name = f"akeso-test-witness-{home}"
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    rule = {"apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"], "operations": ["CREATE"]}
    policy = {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": home}}, "resourceRules": [rule],
        },
        "matchConditions": [{"name": "asked", "expression": "object.metadata.name == 'akeso-witness'"}],
        "validations": [{"expression": "false",
                         "messageExpression": "'it sees ' + params.metadata.resourceVersion + '.'"}],
    }  # fmt: skip
    binding = {
        "policyName": name, "validationActions": ["Deny"],
        "paramRef": {"name": facts.STOP_CONFIGMAP, "namespace": home, "parameterNotFoundAction": "Deny"},
    }  # fmt: skip
    for kind, plural, spec in (
        ("ValidatingAdmissionPolicy", "validatingadmissionpolicies", policy),
        ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", binding),
    ):
        api.apply(f"{ADMISSION}/{plural}/{name}", head | {"kind": kind, "spec": spec})
        made.callback(api, "DELETE", f"{ADMISSION}/{plural}/{name}")


def workload(name: str, notes: dict[str, str]) -> Object:
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "busybox:1.36"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod}
    return {"metadata": {"name": name, "annotations": notes}, "spec": spec}


def furnish(api: Api, place: str) -> None:
    """One Deployment and one pod that never runs for each kind of earlier write."""
    for name, notes in WORKLOADS.items():
        api.ok("POST", f"/apis/apps/v1/namespaces/{place}/deployments", workload(name, notes))
        spec = {"schedulerName": "nobody", "containers": [{"name": "c", "image": "busybox:1.36"}]}
        body = {"metadata": {"name": name, "annotations": notes}, "spec": spec}
        api.ok("POST", f"/api/v1/namespaces/{place}/pods", body)


@pytest.fixture(scope="module")
def ground(api):
    home = f"akeso-test-home-{secrets.token_hex(4)}"
    with ExitStack() as made:
        there = made.enter_context(installed(api, home))
        elsewhere = made.enter_context(api.namespace())
        places = {"home": home, "kube-system": "kube-system"}
        for autonomy in ("auto", "approve", "suggest", "observe", "off", "Auto"):
            places[autonomy] = made.enter_context(api.namespace(labels={AUTONOMY: autonomy}))
        places["none"] = made.enter_context(api.namespace())
        for place in ("auto", "off"):
            furnish(api, places[place])
        # As open as a namespace can be, so that nothing but its protection speaks against it.
        api.ok("PATCH", f"/api/v1/namespaces/{home}", {"metadata": {"labels": {AUTONOMY: "auto"}}}, form=MERGE_PATCH)
        for place in ("home", "kube-system"):
            tame = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"}}  # fmt: skip
            container = {"name": "c", "image": "busybox:1.36", "securityContext": tame}
            spec = {"schedulerName": "nobody", "containers": [container]}
            pods = f"/api/v1/namespaces/{places[place]}/pods"
            api.ok("POST", pods, {"metadata": {"name": "akeso-test-fence"}, "spec": spec})
            made.callback(api, "DELETE", f"{pods}/akeso-test-fence")
        nodes = {}
        for autonomy in ("auto", "off"):
            nodes[autonomy] = f"akeso-test-{autonomy}-{secrets.token_hex(4)}"
            meta = {"name": nodes[autonomy], "labels": {AUTONOMY: autonomy}}
            api.ok("POST", "/api/v1/nodes", {"metadata": meta, "spec": {"unschedulable": True}})
            made.callback(api, "DELETE", f"/api/v1/nodes/{nodes[autonomy]}")
        api.ok("POST", f"/api/v1/namespaces/{elsewhere}/serviceaccounts", {"metadata": {"name": ACCOUNT}})
        grant_everything(api, made, home, ACCOUNT)
        grant_everything(api, made, elsewhere, ACCOUNT)
        bear_witness(api, made, home)
        ground = Ground(api, there, api.token(home, ACCOUNT), api.token(elsewhere, ACCOUNT), places, nodes)
        ground.mode({"mode": "run"})
        until(lambda: UNMARKED in create()(ground, ground.executor).said, "the fence does not stand")
        yield ground


# Requests, all of them rehearsals ---------------------------------------------------------------------------------


def patch(name: str = "fresh", notes: dict[str, Any] | None = None, place: str = "auto", **spec: Any) -> Request:
    body = {"metadata": {"annotations": NEW if notes is None else notes}, "spec": spec or {"replicas": 2}}

    def send(on: Ground, token: str) -> Answer:
        path = f"/apis/apps/v1/namespaces/{on.places[place]}/deployments/{name}"
        return on.api("PATCH", path, body, form=MERGE_PATCH, token=token, dryRun="All")

    return send


def merge(name: str, body: Object, sub: str = "", group: str = "/apis/apps/v1", plural: str = "deployments") -> Request:
    def send(on: Ground, token: str) -> Answer:
        path = f"{group}/namespaces/{on.places['auto']}/{plural}/{name}{sub}"
        return on.api("PATCH", path, body, form=MERGE_PATCH, token=token, dryRun="All")

    return send


def apply(notes: dict[str, str]) -> Request:
    def send(on: Ground, token: str) -> Answer:
        path = f"/apis/apps/v1/namespaces/{on.places['auto']}/deployments/fresh"
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2},
                "metadata": {"name": "fresh", "annotations": notes}}  # fmt: skip
        more = {"fieldManager": "akeso-x", "force": "true", "dryRun": "All"}
        return on.api("PATCH", path, body, form=APPLY_PATCH, token=token, **more)

    return send


def put(notes: dict[str, str]) -> Request:
    def send(on: Ground, token: str) -> Answer:
        path = f"/apis/apps/v1/namespaces/{on.places['auto']}/deployments/fresh"
        return on.api("PUT", path, workload("fresh", notes), token=token, dryRun="All")

    return send


def create(place: str = "auto", notes: dict[str, str] | None = None) -> Request:
    def send(on: Ground, token: str) -> Answer:
        body = {"metadata": {"name": "made", "annotations": notes or {}}}
        return on.api("POST", f"/api/v1/namespaces/{on.places[place]}/configmaps", body, token=token, dryRun="All")

    return send


TAME = {"allowPrivilegeEscalation": False}


def job(*, owner: str = "", container: Object | None = None, **pod: Any) -> Request:
    """A Job as an errand creates it, but for what is said."""
    errand = {
        "restartPolicy": "Never", "automountServiceAccountToken": False,
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "containers": [{"name": "c", "image": "busybox:1.36", "securityContext": TAME, **(container or {})}],
    }  # fmt: skip
    owners = [{"apiVersion": "batch/v1", "kind": owner, "name": "o", "uid": "u", "controller": True}] if owner else []

    def send(on: Ground, token: str) -> Answer:
        meta = {"name": "made", "annotations": NEW, "ownerReferences": owners}
        body = {"metadata": meta, "spec": {"template": {"spec": {**errand, **pod}}}}
        return on.api("POST", f"/apis/batch/v1/namespaces/{on.places['auto']}/jobs", body, token=token, dryRun="All")

    return send


def event(place: str = "none") -> Request:
    """What tells on an object who has changed it."""

    def send(on: Ground, token: str) -> Answer:
        about = {"kind": "Pod", "name": "p", "namespace": on.places[place]}
        body = {"metadata": {"name": "p.1"}, "involvedObject": about, "reason": "AkesoTest", "message": "m"}
        return on.api("POST", f"/api/v1/namespaces/{on.places[place]}/events", body, token=token, dryRun="All")

    return send


def under(path: str, body: Object) -> Request:
    """Create something under an object."""

    def send(on: Ground, token: str) -> Answer:
        return on.api("POST", f"/api/v1/namespaces/{on.places['auto']}/{path}", body, token=token, dryRun="All")

    return send


def delete(name: str) -> Request:
    def send(on: Ground, token: str) -> Answer:
        path = f"/apis/apps/v1/namespaces/{on.places['auto']}/deployments/{name}"
        return on.api("DELETE", path, token=token, dryRun="All")

    return send


def delete_all(on: Ground, token: str) -> Answer:
    path = f"/apis/apps/v1/namespaces/{on.places['auto']}/deployments"
    return on.api("DELETE", path, token=token, dryRun="All")


def evict(name: str = "marked", notes: dict[str, str] | None = None, place: str = "auto") -> Request:
    def send(on: Ground, token: str) -> Answer:
        meta = {"name": name, "namespace": on.places[place], "annotations": NEW if notes is None else notes}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        path = f"/api/v1/namespaces/{on.places[place]}/pods/{name}/eviction"
        return on.api("POST", path, body, token=token, dryRun="All")

    return send


def mark(name: str = "fresh", place: str = "off", **more: Any) -> Request:
    """The mark that a pod gets before it is evicted, and what else comes with it."""

    def send(on: Ground, token: str) -> Answer:
        body = {"metadata": {"annotations": NEW} | more}
        path = f"/api/v1/namespaces/{on.places[place]}/pods/{name}"
        return on.api("PATCH", path, body, form=MERGE_PATCH, token=token, dryRun="All")

    return send


def connect_to(what: str, place: str = "auto") -> Request:
    def send(on: Ground, token: str) -> Answer:
        query = {"command": "true", "stdout": "true"} if what in {"exec", "attach"} else {}
        return on.api("POST", f"/api/v1/namespaces/{on.places[place]}/pods/nobody/{what}", token=token, **query)

    return send


def node(autonomy: str, labels: dict[str, Any] | None = None, notes: dict[str, str] | None = None) -> Request:
    def send(on: Ground, token: str) -> Answer:
        meta = {"labels": labels or {}, "annotations": NEW if notes is None else notes}
        body = {"metadata": meta, "spec": {"unschedulable": None}}
        path = f"/api/v1/nodes/{on.nodes[autonomy]}"
        return on.api("PATCH", path, body, form=MERGE_PATCH, token=token, dryRun="All")

    return send


def namespace(place: str, labels: dict[str, str]) -> Request:
    def send(on: Ground, token: str) -> Answer:
        body = {"metadata": {"labels": labels, "annotations": NEW}}
        path = f"/api/v1/namespaces/{on.places[place]}"
        return on.api("PATCH", path, body, form=MERGE_PATCH, token=token, dryRun="All")

    return send


def stop_map(on: Ground, token: str) -> Answer:
    path = f"/api/v1/namespaces/{on.there.home}/configmaps/{facts.STOP_CONFIGMAP}"
    body = {"metadata": {"annotations": NEW}, "data": {"mode": "run"}}
    return on.api("PATCH", path, body, form=MERGE_PATCH, token=token, dryRun="All")


def role(on: Ground, token: str) -> Answer:
    body = {"metadata": {"name": "akeso-test-made", "annotations": NEW}, "rules": []}
    return on.api("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", body, token=token, dryRun="All")


RUN, STOPPED, FROZEN = {"mode": "run"}, {"mode": "stop"}, {"mode": "freeze"}
TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {"annotations": NEW}, "spec": {}}
BIND = {"metadata": {"name": "fresh", "annotations": NEW}, "target": {"kind": "Node", "name": "n"}}
STATUS = {"status": {"observedGeneration": 1}}
LOOKS_IN = {"spec": {"ephemeralContainers": [{"name": "e", "image": "busybox:1.36"}]}}


def part(keys: dict[str, str]) -> dict[str, str]:
    """Nothing is held but what these keys name; `{place}` in one becomes that place's namespace."""
    return {"mode": "run", **keys}


# What the ConfigMap says, what is sent, and the words of the refusal.
TABLE = [
    # Where: opted in, and never in a protected namespace.
    (RUN, "a patch under auto", patch(), PASSES),
    (RUN, "a create under approve", create("approve", NEW), PASSES),
    (RUN, "a create under suggest", create("suggest", NEW), PASSES),
    (RUN, "a create under observe", create("observe", NEW), CLOSED),
    (RUN, "a create under off", create("off", NEW), CLOSED),
    (RUN, "a create under a word that is none", create("Auto", NEW), CLOSED),
    (RUN, "a create without a label", create("none", NEW), CLOSED),
    (RUN, "an eviction under off", evict(place="off"), CLOSED),
    (RUN, "a mark on a pod under off", mark(), CLOSED),
    (RUN, "an eviction in kube-system", evict("akeso-test-fence", place="kube-system"), PROTECTED),
    (RUN, "exec under off", connect_to("exec", "off"), CLOSED),
    (RUN, "exec under auto", connect_to("exec"), PASSES),
    (RUN, "attach under off", connect_to("attach", "off"), CLOSED),
    (RUN, "port-forward under off", connect_to("portforward", "off"), CLOSED),
    (RUN, "a create at home", create("home", NEW), PROTECTED),
    (RUN, "a create in kube-system", create("kube-system", NEW), PROTECTED),
    (RUN, "exec at home", connect_to("exec", "home"), PROTECTED),
    (RUN, "a change of the stop", stop_map, PROTECTED),
    (RUN, "a node under auto", node("auto"), PASSES),
    (RUN, "a node under off", node("off"), CLOSED),
    (RUN, "a node without the mark", node("auto", notes={}), UNMARKED),
    (RUN, "a node that opts itself in", node("off", {AUTONOMY: "auto"}), CLOSED),
    (RUN, "another label of a node", node("auto", {"x": "y"}), PASSES),
    (RUN, "the label of a node", node("auto", {AUTONOMY: "suggest"}), LABEL),
    (RUN, "the label of a node taken away", node("auto", {AUTONOMY: None}), LABEL),
    (RUN, "the label of a namespace", namespace("off", {AUTONOMY: "auto"}), WIDE),
    (RUN, "any label of a namespace", namespace("auto", {"x": "y"}), WIDE),
    (RUN, "a cluster role", role, WIDE),
    # The mark: there, well-formed and new.
    (RUN, "a patch without the mark", patch(notes={}), UNMARKED),
    (RUN, "a put", put(NEW), PASSES),
    (RUN, "a put without the mark", put({}), UNMARKED),
    (RUN, "an apply", apply(NEW), PASSES),
    (RUN, "an apply without the mark", apply({}), UNMARKED),
    (RUN, "a create", create(notes=NEW), PASSES),
    (RUN, "a create without the mark", create(), UNMARKED),
    (RUN, "a mark without a step", patch(notes={MARK: "g-9"}), UNMARKED),
    (RUN, "a mark with words around it", patch(notes={MARK: "see g-9/0"}), UNMARKED),
    (RUN, "a mark of two lines", patch(notes={MARK: "g-9/0\nx"}), UNMARKED),
    (RUN, "a new mark over an old one", patch("marked"), PASSES),
    (RUN, "an old mark", patch("marked", {}), OLD),
    (RUN, "the old mark set again", patch("marked", WORKLOADS["marked"]), OLD),
    (RUN, "a mark taken away", patch("marked", {MARK: None}), UNMARKED),
    (RUN, "a patch that is shut out", patch("marked", SHUTS), PASSES),
    # Where the write cannot carry it, it is there before.
    (RUN, "a delete", delete("marked"), PASSES),
    (RUN, "a delete without the mark", delete("fresh"), UNMARKED),
    (RUN, "a delete of everything", delete_all, UNMARKED),
    (RUN, "an eviction", evict(), PASSES),
    (RUN, "an eviction without the mark", evict(notes={}), UNMARKED),
    (RUN, "a status", merge("marked", STATUS, "/status"), PASSES),
    (RUN, "a status without the mark", merge("fresh", STATUS, "/status"), UNMARKED),
    (RUN, "an ephemeral container", merge("marked", LOOKS_IN, "/ephemeralcontainers", "/api/v1", "pods"), PASSES),
    (RUN, "an ephemeral container without the mark",
     merge("fresh", LOOKS_IN, "/ephemeralcontainers", "/api/v1", "pods"), UNMARKED),
    (RUN, "the scale of a marked object", merge("marked", {"spec": {"replicas": 2}}, "/scale"), SCALE),
    (RUN, "a token of another account", under("serviceaccounts/default/token", TOKEN), UNDER),
    (RUN, "a binding to a node", under("pods/fresh/binding", BIND), UNDER),
    # An undo is known by its own new mark on what we have written before.
    (RUN, "an undo", patch("marked", UNDOES), PASSES),
    (RUN, "an undo where nobody opted in any more", patch("marked", UNDOES, "off"), PASSES),
    (RUN, "an undo of nothing where nobody opted in", patch("fresh", UNDOES, "off"), CLOSED),
    (RUN, "an undo note of another write", patch("marked", NEW | {UNDO: "g-8/0"}), FORGED),
    (RUN, "an undo note that was left", patch("undone"), PASSES),
    (RUN, "an undo note that was left where nobody opted in", patch("undone", NEW, "off"), CLOSED),
    (RUN, "an undo note taken away", patch("undone", NEW | {UNDO: None}), PASSES),
    # Stop: undo, and shutting out what is under way.
    (STOPPED, "a patch", patch("marked"), STOP),
    (STOPPED, "a node", node("auto"), STOP),
    (STOPPED, "a create", create(notes=NEW), STOP),
    (STOPPED, "a create that says undo", create(notes=UNDOES), STOP),
    (STOPPED, "a delete", delete("marked"), STOP),
    (STOPPED, "an eviction", evict(), STOP),
    (STOPPED, "an eviction that says undo", evict(notes=UNDOES), STOP),
    (STOPPED, "a status", merge("marked", STATUS, "/status"), STOP),
    (STOPPED, "exec", connect_to("exec"), STOP),
    (STOPPED, "an undo", patch("marked", UNDOES), PASSES),
    (STOPPED, "an undo at home", create("home", UNDOES), PROTECTED),
    (STOPPED, "an undo of nothing", patch("fresh", UNDOES), STOP),
    (STOPPED, "an undo without its own mark", patch("marked", {UNDO: "g-1/0"}), OLD),
    (STOPPED, "an undo note that was left", patch("undone"), STOP),
    (STOPPED, "a mark that fits a note that was left", patch("rewritten", {MARK: "g-2/0"}), STOP),
    (STOPPED, "a second undo", patch("undone", UNDOES), PASSES),
    (STOPPED, "shutting out", merge("marked", {"metadata": {"annotations": SHUTS}}), PASSES),
    (STOPPED, "shutting out with a change", patch("marked", SHUTS), STOP),
    (STOPPED, "shutting out with a label",
     merge("marked", {"metadata": {"annotations": SHUTS, "labels": {"x": "y"}}}), STOP),
    (STOPPED, "shutting out with another note",
     merge("marked", {"metadata": {"annotations": SHUTS | {"x": "y"}}}), STOP),
    # Events change nothing.
    (RUN, "an Event anywhere", event(), PASSES),
    (FROZEN, "an Event", event(), PASSES),
    # What a Job may be.
    (RUN, "an errand", job(), PASSES),
    (RUN, "a copy of a CronJob's", job(owner="CronJob", automountServiceAccountToken=True), PASSES),
    (RUN, "a Job of somebody else", job(owner="Deployment", automountServiceAccountToken=True), ERRAND),
    (RUN, "a Job with a token", job(automountServiceAccountToken=True), ERRAND),
    (RUN, "a Job on the host's network", job(hostNetwork=True), ERRAND),
    (RUN, "a Job with a secret", job(volumes=[{"name": "s", "secret": {"secretName": "s"}}]), ERRAND),
    (RUN, "a Job with the host's disk", job(volumes=[{"name": "s", "hostPath": {"path": "/"}}]), ERRAND),
    (RUN, "a Job that may rise", job(container={"securityContext": {}}), ERRAND),
    (RUN, "a Job with a secret in its environment",
     job(container={"env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}), ERRAND),
    (RUN, "a Job with a container before", job(initContainers=[{"name": "i", "image": "busybox:1.36"}]), ERRAND),
    # Freeze: nothing at all.
    (FROZEN, "a patch", patch("marked"), FREEZE),
    (FROZEN, "an undo", patch("marked", UNDOES), FREEZE),
    (FROZEN, "shutting out", merge("marked", {"metadata": {"annotations": SHUTS}}), FREEZE),
    (FROZEN, "a delete", delete("marked"), FREEZE),
    (FROZEN, "an eviction", evict(), FREEZE),
    (FROZEN, "a create", create(notes=NEW), FREEZE),
    (FROZEN, "a node", node("auto"), FREEZE),
    (FROZEN, "a status", merge("marked", STATUS, "/status"), FREEZE),
    (FROZEN, "exec", connect_to("exec"), FREEZE),
    # A part of it.
    (part({"tenant.shop": "stop"}), "a patch", patch(), STOP),
    (part({"cluster.shop.dev": "stop: a test"}), "a patch", patch(), STOP),
    (part({"cluster.shop.dev": "stop"}), "an undo", patch("marked", UNDOES), PASSES),
    (part({"cluster.shop.dev": "freeze"}), "an undo", patch("marked", UNDOES), FREEZE),
    (part({"namespace.{auto}": "stop"}), "a patch", patch(), STOP),
    (part({"namespace.{auto}": "stop: a test, by ann"}), "a patch", patch(), STOP),
    (part({"namespace.{auto}": "stop"}), "an undo", patch("marked", UNDOES), PASSES),
    (part({"namespace.{auto}": "stop"}), "shutting out", merge("marked", {"metadata": {"annotations": SHUTS}}), PASSES),
    (part({"namespace.{auto}": "freeze"}), "shutting out", merge("marked", {"metadata": {"annotations": SHUTS}}),
     FREEZE),
    (part({"namespace.{auto}": "stop"}), "an eviction", evict(), STOP),
    (part({"namespace.{auto}": "stop"}), "a delete", delete("marked"), STOP),
    (part({"namespace.{auto}": "stop"}), "exec", connect_to("exec"), STOP),
    (part({"namespace.{auto}": "stop"}), "a create elsewhere", create("approve", NEW), PASSES),
    (part({"namespace.{auto}": "stop"}), "a node", node("auto"), PASSES),
    (part({"namespace.{auto}": "freeze"}), "a patch", patch(), FREEZE),
    (part({"namespace.{auto}": "freeze"}), "an undo", patch("marked", UNDOES), FREEZE),
    (part({"namespace.{auto}": "freeze"}), "a create elsewhere", create("approve", NEW), PASSES),
    (part({"action.scale_deployment": "stop"}), "a patch", patch(), STOP),
    (part({"action.scale_deployment": "freeze: a test"}), "an undo", patch("marked", UNDOES), FREEZE),
    (part({"action.scale_deployment": "stop"}), "a node", node("auto"), STOP),
    (part({"action.restart_pod": "freeze"}), "a patch", patch(), PASSES),
    (part({"action.scale": "freeze"}), "a patch", patch(), PASSES),
    # Two at once: the stricter one, and the mode for everything beside them.
    (part({"namespace.{auto}": "stop", "action.scale_deployment": "freeze"}), "an undo", patch("marked", UNDOES),
     FREEZE),
    ({**STOPPED, "namespace.{auto}": "freeze"}, "an undo", patch("marked", UNDOES), FREEZE),
    ({**STOPPED, "action.restart_pod": "freeze"}, "an undo", patch("marked", UNDOES), PASSES),
    ({"namespace.{auto}": "stop"}, "a patch", patch(), STOP),
    # What nobody can understand.
    (part({"namespace.{auto}": ""}), "an undo", patch("marked", UNDOES), FREEZE),
    (part({"namespace.{auto}": "run"}), "an undo", patch("marked", UNDOES), FREEZE),
    (part({"namespace.{auto}": "stopped"}), "an undo", patch("marked", UNDOES), FREEZE),
    (part({"namespace.{auto}": "Stop"}), "an undo", patch("marked", UNDOES), FREEZE),
    (part({"namespace.{auto}": " stop"}), "an undo", patch("marked", UNDOES), FREEZE),
    (part({"namespaces.{auto}": "stop"}), "an undo", patch("marked", UNDOES), UNKNOWN),
    (part({"Mode": "run"}), "a patch", patch(), UNKNOWN),
    (part({"cluster.prod": "stop"}), "a patch", patch(), UNKNOWN),
    (part({"namespace.": "stop"}), "a patch", patch(), UNKNOWN),
    (part({"reason": "r", "by": "b", "since": "s", "hydrated-at": "h"}), "a patch", patch(), PASSES),
    ({"mode": "Freeze"}, "an undo", patch("marked", UNDOES), ASSUMED),
    ({"mode": "stopped"}, "a patch", patch(), ASSUMED),
    ({"mode": ""}, "a patch", patch(), ASSUMED),
    ({"hydrated-at": "1"}, "a patch", patch(), ASSUMED),
    ({"hydrated-at": "1", "mode": "run"}, "a patch", patch(), PASSES),
    ({"reason": "new"}, "a patch", patch(), PASSES),
    (None, "a patch", patch(), PASSES),
]  # fmt: skip


def passed(answer: Answer) -> bool:
    """Whether it came past the admission; nobody is there to connect to."""
    return answer.status < 300 or (answer.status == 404 and '"nobody"' in answer.said)


def title(row: Any) -> str:
    said = "nothing" if row[0] is None else " ".join(f"{key}={text}" for key, text in row[0].items())
    return f"{said}-{row[1]}"


class TestAnExecutor:
    @pytest.mark.parametrize(("said", "what", "request_", "words"), TABLE, ids=map(title, TABLE))
    def test_may_write_what_the_table_says_and_is_refused_by_nothing_but_the_fence(
        self, ground, said, what, request_, words
    ):
        ground.mode(said)

        answer = request_(ground, ground.executor)
        if words:
            assert answer.status == 403, f"{what}: {answer.said}"
            told = answer.said.partition(" denied request: akeso: ")[2]
            # Of two bindings that refuse it the API server names one, in no order: the mode has a binding of its own.
            mode = {"stop": STOP, "freeze": FREEZE}.get((said or {}).get("mode", ""), words)
            assert words in told or mode in told, answer.said
        else:
            assert passed(answer), answer.said

        assert passed(request_(ground, ground.stranger))

    def test_is_anybody_whose_name_says_so_in_the_home_alone(self, ground):
        names = {one["metadata"]["name"] for one in ground.there.objects if one["kind"] == "ServiceAccount"}

        ground.mode(FROZEN)
        with ExitStack() as made:
            for name in sorted(names):
                grant_everything(ground.api, made, ground.there.home, name)
                token = ground.api.token(ground.there.home, name)
                # The authorizer hears of a new right a moment later.
                until(lambda token=token: "cannot create resource" not in create(notes=NEW)(ground, token).said)
                refused = FREEZE in create(notes=NEW)(ground, token).said
                assert refused == name.startswith("executor-"), name

    def test_may_still_ask_what_it_may_do(self, ground):
        ground.mode(FROZEN)
        body = {"spec": {"namespace": ground.places["auto"]}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"

        assert ground.api("POST", path, body, token=ground.executor).status == 201


# What the one account that drains sends, beside what all others may.
DRAINING = [
    (RUN, "a node under auto", node("auto"), PASSES),
    (RUN, "a node under off", node("off"), CLOSED),
    (RUN, "an eviction under off", evict(place="off"), PASSES),
    (RUN, "an eviction under off without the mark", evict(place="off", notes={}), UNMARKED),
    (RUN, "a mark under off", mark(), PASSES),
    (RUN, "a mark under off with a label", mark(labels={"x": "y"}), CLOSED),
    (RUN, "a mark under off with another note", mark(annotations=NEW | {"x": "y"}), CLOSED),
    (RUN, "an eviction in kube-system", evict("akeso-test-fence", place="kube-system"), PASSES),
    (RUN, "a mark in kube-system", mark("akeso-test-fence", "kube-system"), PASSES),
    (RUN, "an eviction at home", evict("akeso-test-fence", place="home"), PROTECTED),
    (RUN, "a mark at home", mark("akeso-test-fence", "home"), PROTECTED),
    (RUN, "a patch under off", patch(place="off"), CLOSED),
    (RUN, "a create under off", create("off", NEW), CLOSED),
    (RUN, "exec under off", connect_to("exec", "off"), CLOSED),
    (STOPPED, "an eviction under off", evict(place="off"), STOP),
    (FROZEN, "an eviction under off", evict(place="off"), FREEZE),
    (part({"namespace.{off}": "stop"}), "an eviction under off", evict(place="off"), STOP),
    (part({"action.drain_node": "stop"}), "an eviction under off", evict(place="off"), STOP),
]  # fmt: skip


@pytest.fixture(scope="module")
def drainer(ground):
    with ExitStack() as made:
        grant_everything(ground.api, made, ground.there.home, DRAINS)
        token = ground.api.token(ground.there.home, DRAINS)

        def known():
            answer = node("auto")(ground, token)
            return answer.status in {200, 403} and "cannot patch resource" not in answer.said  # RBAC's is a 403, too

        until(known)
        yield token


class TestTheAccountThatDrains:
    @pytest.mark.parametrize(("said", "what", "request_", "words"), DRAINING, ids=map(title, DRAINING))
    def test_may_send_pods_away_from_anywhere_but_home_and_no_more(self, ground, drainer, said, what, request_, words):
        ground.mode(said)

        answer = request_(ground, drainer)

        if words:
            assert answer.status == 403, f"{what}: {answer.said}"
            assert words in answer.said
        else:
            assert passed(answer), answer.said


class TestPeople:
    @pytest.mark.parametrize("said", [RUN, STOPPED, FROZEN, {"mode": "?"}], ids=str)
    def test_are_never_fenced(self, ground, said):
        ground.mode(said)

        for place in ground.places:
            answer = create(place)(ground, None)
            assert answer.status == 201, answer.said

    def test_change_the_stop_whatever_it_says(self, ground):
        for data in (FROZEN, {"mode": "?"}, STOPPED, RUN):
            ground.mode(data)


class TestTheStop:
    def test_is_taken_away_by_nobody(self, ground):
        maps = f"/api/v1/namespaces/{ground.there.home}/configmaps"
        ground.api.ok("POST", maps, {"metadata": {"name": "another"}})

        for path in (f"{maps}/{facts.STOP_CONFIGMAP}", maps):
            answer = ground.api("DELETE", path)
            assert answer.status == 403, answer.said
            assert "nothing could stop the machine" in answer.said
        assert ground.api("GET", f"{maps}/{facts.STOP_CONFIGMAP}").status == 200
        assert ground.api("DELETE", f"{maps}/another").status in {200, 404}
        assert ground.api("DELETE", f"/api/v1/namespaces/{ground.places['auto']}/configmaps/nothing").status == 404

    def test_goes_with_its_namespace(self, api):
        with installed(api, f"akeso-test-home-{secrets.token_hex(4)}") as there:
            api.ok("DELETE", f"/api/v1/namespaces/{there.home}")
            until(lambda: api("GET", f"/api/v1/namespaces/{there.home}").status == 404, "the namespace stays")

    def test_that_is_missing_all_the_same_leaves_the_rest_of_the_fence_and_people_alone(self, ground, tmp_path):
        api = ground.api
        with ExitStack() as made:
            there = made.enter_context(installed(api, f"akeso-test-home-{secrets.token_hex(4)}"))
            grant_everything(api, made, there.home, ACCOUNT)
            bear_witness(api, made, there.home)
            ground.mode_of(there, FROZEN)
            token = api.token(there.home, ACCOUNT)
            until(lambda: FREEZE in create(notes=NEW)(ground, token).said, "the fence does not stand")
            api.ok("DELETE", f"{ADMISSION}/validatingadmissionpolicybindings/{there.named('akeso-stop-stays')}")
            path = f"/api/v1/namespaces/{there.home}/configmaps/{facts.STOP_CONFIGMAP}"
            until(lambda: api("DELETE", path).status == 200)
            until(lambda: passed(create(notes=NEW)(ground, token)), "it judges by a ConfigMap that is gone")

            assert UNMARKED in create()(ground, token).said
            assert CLOSED in create("off", NEW)(ground, token).said
            assert create()(ground, None).status == 201
            config = Kube(kubeconfig=str(api.kubeconfig_of(token, tmp_path / "config")))
            assert facts.stop_mode(connect(Settings(kube=config), "akeso-test"), there.home) == "freeze"


class TestAParameterThatIsMissing:
    def test_would_lock_everybody_out_if_the_binding_denied(self, api):
        """Why ours allows: the API server looks for the parameter before it asks who writes."""
        name = f"akeso-test-lock-{secrets.token_hex(4)}"
        with ExitStack() as made:
            place = made.enter_context(api.namespace())
            head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
            rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
            mine = {"matchLabels": {"kubernetes.io/metadata.name": place}}
            policy = head | {"kind": "ValidatingAdmissionPolicy", "spec": {
                "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                "matchConstraints": {"namespaceSelector": mine, "resourceRules": [rule]},
                "matchConditions": [{"name": "nobody", "expression": "request.userInfo.username == 'nobody'"}],
                "validations": [{"expression": "false"}],
            }}  # fmt: skip
            binding = head | {"kind": "ValidatingAdmissionPolicyBinding", "spec": {
                "policyName": name, "validationActions": ["Deny"],
                "paramRef": {"name": "missing", "namespace": place, "parameterNotFoundAction": "Deny"},
            }}  # fmt: skip
            for plural, one in (
                ("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding),
            ):  # fmt: skip
                api.apply(f"{ADMISSION}/{plural}/{name}", one)
                made.callback(api, "DELETE", f"{ADMISSION}/{plural}/{name}")
            path, body = f"/api/v1/namespaces/{place}/configmaps", {"metadata": {"name": "missing"}}

            until(lambda: "no params found" in api("POST", path, body, dryRun="All").said)


@pytest.fixture
def kube(ground, tmp_path):
    """The product's client with the executor's token."""
    config = Kube(kubeconfig=str(ground.api.kubeconfig_of(ground.executor, tmp_path / "config")), timeout_ms=10_000,
                  namespace=ground.there.home)  # fmt: skip
    client = connect(Settings(kube=config), "akeso-test")
    yield client
    client.close()


@pytest.fixture
def web(ground):
    """A Deployment that this test alone writes to."""
    name = f"web-{secrets.token_hex(4)}"
    path = f"/apis/apps/v1/namespaces/{ground.places['auto']}/deployments"
    return ground.api.ok("POST", path, workload(name, {}))


@pytest.fixture
def pod(ground):
    name = f"pod-{secrets.token_hex(4)}"
    spec = {"schedulerName": "nobody", "containers": [{"name": "c", "image": "busybox:1.36"}]}
    body = {"metadata": {"name": name}, "spec": spec}
    return ground.api.ok("POST", f"/api/v1/namespaces/{ground.places['auto']}/pods", body)


@pytest.fixture
def sized(ground):
    """A pod whose container may have so much memory and no more."""
    name = f"pod-{secrets.token_hex(4)}"
    container = {"name": "c", "image": "busybox:1.36", "resources": size("64Mi")}
    body = {"metadata": {"name": name}, "spec": {"schedulerName": "nobody", "containers": [container]}}
    return ground.api.ok("POST", f"/api/v1/namespaces/{ground.places['auto']}/pods", body)


def size(memory: str) -> Object:
    return {"limits": {"memory": memory}, "requests": {"memory": memory}}


def resize(found: Object, before: str, after: str) -> Write:
    path = "/spec/containers/[name=c]/resources"
    return Write(verb="patch", target=to(found, "Pod"), path=path, sub="resize", before=size(before), after=size(after))


def to(found: Object, kind: str) -> ObjectRef:
    meta = found["metadata"]
    return ObjectRef(kind=kind, namespace=meta["namespace"], name=meta["name"], uid=meta["uid"])


def write(kube: Any, one: Write, mark: str, *, undo: bool = False, dry_run: bool = False) -> None:
    """As the lifecycle does it: a controller may write in between."""
    for left in reversed(range(5)):
        version = writing.read(kube, one).resource_version
        try:
            writing.apply(
                kube, one, mark=mark, undo=undo, field_manager="akeso-test", resource_version=version, dry_run=dry_run
            )
        except Conflict:
            if not left:
                raise
        else:
            return


class TestOurOwnWrites:
    """What the lifecycle sends, for real and not as a rehearsal."""

    def test_pass_while_nothing_speaks_against_them(self, ground, kube, web):
        ground.mode(RUN)
        scale = Write(verb="patch", target=to(web, "Deployment"), path="/spec/replicas", before=0, after=1)
        write(kube, scale, "g-1/0", dry_run=True)
        write(kube, scale, "g-1/0")

        seen = writing.read(kube, scale)
        assert (seen.done, seen.mark) == (True, "g-1/0")

    def test_are_refused_under_stop_in_words_that_say_so_but_for_the_undo(self, ground, kube, web):
        ground.mode(RUN)
        scale = Write(verb="patch", target=to(web, "Deployment"), path="/spec/replicas", before=0, after=1)
        write(kube, scale, "g-1/0")
        ground.mode(STOPPED)
        back = scale.model_copy(update={"before": 1, "after": 0})

        for dry_run in (True, False):
            with pytest.raises(Refused, match=STOP) as refused:
                write(kube, back, "g-2/0", dry_run=dry_run)
            assert refused.value.status == 403
        assert writing.read(kube, back).mark == "g-1/0"
        write(kube, back, "g-2/0", undo=True)
        assert writing.read(kube, back).done

    def test_are_refused_under_freeze_the_undo_included(self, ground, kube, web):
        ground.mode(RUN)
        scale = Write(verb="patch", target=to(web, "Deployment"), path="/spec/replicas", before=0, after=1)
        write(kube, scale, "g-1/0")
        ground.mode(FROZEN)

        with pytest.raises(Refused, match=FREEZE):
            write(kube, scale.model_copy(update={"before": 1, "after": 0}), "g-2/0", undo=True)

    def test_evict_and_the_eviction_tells_its_mark(self, ground, kube, pod):
        ground.mode(RUN)
        one = Write(verb="evict", target=to(pod, "Pod"))
        write(kube, one, "g-1/0", dry_run=True)
        assert not writing.read(kube, one).done
        write(kube, one, "g-1/0")

        assert writing.read(kube, one).done

    def test_evict_what_a_run_that_is_gone_has_marked(self, ground, kube, pod):
        ground.mode(RUN)
        one = Write(verb="evict", target=to(pod, "Pod"))
        version = writing.read(kube, one).resource_version
        writing.mark_first(kube, one, mark="g-1/0", undo=False, field_manager="akeso-test", resource_version=version)
        write(kube, one, "g-1/0")

        assert writing.read(kube, one).done

    def test_resize_and_leave_the_mark_before(self, ground, kube, sized):
        ground.mode(RUN)
        grow = resize(sized, "64Mi", "96Mi")
        write(kube, grow, "g-1/0", dry_run=True)
        assert writing.read(kube, grow).mark == ""
        write(kube, grow, "g-1/0")

        seen = writing.read(kube, grow)
        assert (seen.done, seen.mark) == (True, "g-1/0")

    def test_never_resize_without_the_mark(self, ground, sized):
        ground.mode(RUN)
        path = f"/api/v1/namespaces/{ground.places['auto']}/pods/{sized['metadata']['name']}/resize"
        body = {"spec": {"containers": [{"name": "c", "resources": size("96Mi")}]}}

        answer = ground.api("PATCH", path, body, form=STRATEGIC_PATCH, token=ground.executor)

        assert (answer.status, UNMARKED in answer.said) == (403, True)

    def test_resize_under_stop_to_take_it_back_alone(self, ground, kube, sized):
        ground.mode(RUN)
        write(kube, resize(sized, "64Mi", "96Mi"), "g-1/0")
        ground.mode(STOPPED)
        more, back = resize(sized, "96Mi", "128Mi"), resize(sized, "96Mi", "64Mi")

        for dry_run in (True, False):
            with pytest.raises(Refused, match=STOP):
                write(kube, more, "g-2/0", dry_run=dry_run)
            with pytest.raises(Refused, match=STOP):  # whose mark is there already
                write(kube, more, "g-1/0", dry_run=False)
        write(kube, back, "g-3/0", undo=True, dry_run=True)
        write(kube, back, "g-3/0", undo=True)
        assert writing.read(kube, back).done

    def test_shut_out_a_late_run_under_stop_and_again_when_asked_twice(self, ground, kube, web, pod):
        ground.mode(STOPPED)
        scale = Write(verb="patch", target=to(web, "Deployment"), path="/spec/replicas", before=0, after=1)
        for one in (scale, Write(verb="evict", target=to(pod, "Pod"))):
            for _ in range(2):
                assert writing.fence(kube, one, mark="g-1/0", field_manager="akeso-test")
            assert writing.read(kube, one).mark == "g-1/0/fenced"


class TestAnAttempt:
    """The executor's whole way, with what the guard has granted in a real Redis."""

    @pytest.fixture
    def attempt(self, ground, kube, state, sim, redis_server):
        """Grant to scale a Deployment in that namespace and let the executor at it."""
        with redis.Redis.from_url(redis_server.url, decode_responses=True) as connection:
            world = World(state, sim, connection)
            here = Here("executor")
            here.settings = Settings(dev=True, kube=Kube(namespace=ground.there.home), action="scale_deployment")
            here.kube, here.state = kube, state

            def attempt(found: Object) -> Emit:
                scope = Scope.model_validate(to(found, "Deployment").model_dump())
                seen = facts.take(kube, scope, None, stop_namespace=ground.there.home)
                action = ScaleDeployment()
                plan = action.plan(seen, action.Params(replicas=1))
                incident = world.opened(scope=scope.key, namespace=scope.namespace)
                name = world.granted(
                    incident, scope=scope.key, namespace=scope.namespace, plan_hash=plan.hash, params='{"replicas":1}'
                )
                cause = world.cause("executor")
                fence = int(state.attempt(cause.tenant, cause.cluster, name)["fence"])
                grant = Grant(
                    id=name, fence=fence, incident=incident, tenant=cause.tenant, cluster=cause.cluster, scope=scope,
                    action=action.name, mode="do", plan_hash=plan.hash, epoch=world.epoch(), start_by=sim.now + 60_000,
                    finish_by=sim.now + 120_000,
                )  # fmt: skip
                data = ApprovedData(incident=incident, grant="signed", params={"replicas": 1}, plan=plan)
                return Attempt(here, cause, action, grant, data).go()

            yield attempt

    def test_that_the_fence_lets_through_succeeds(self, ground, attempt, web):
        ground.mode(RUN)

        assert attempt(web).data.outcome == "succeeded"

    def test_that_the_fence_refuses_is_skipped_in_the_words_of_the_fence_and_writes_nothing(self, ground, attempt):
        ground.mode(RUN)
        # The executor itself sees a namespace that is opted in; that it is protected the fence alone knows here.
        name = f"web-{secrets.token_hex(4)}"
        path = f"/apis/apps/v1/namespaces/{ground.there.home}/deployments"
        made = ground.api.ok("POST", path, workload(name, {}))
        until(lambda: "observedGeneration" in ground.api.ok("GET", f"{path}/{name}")["status"])

        said = attempt(made).data

        assert said.outcome == "skipped"
        assert f"akeso: namespace {ground.there.home} {PROTECTED}" in said.text
        left = ground.api.ok("GET", f"{path}/{name}")
        assert left["spec"]["replicas"] == 0
        assert MARK not in left["metadata"].get("annotations", {})
