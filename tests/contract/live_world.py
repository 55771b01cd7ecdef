"""One installation on one cluster, emulated or real, whose rights a test can take away piece by piece.

Rights are those of the rendered manifests on both: nothing is written down here a second time. Every request of the
product passes a gate, which counts it.
"""

import copy
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from shared.action.catalogue import Catalogue
from shared.dev.cluster import Cluster, Request
from shared.dev.cluster_rights import Granted
from shared.kube.client import Kube, connect
from shared.settings import Kube as KubeSettings
from shared.settings import Settings
from tests.cluster import install
from tests.cluster.api import MERGE_PATCH, Api, until
from tests.cluster.gate import Gate
from tests.cluster.metrics import Metrics

Object = dict[str, Any]

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_REVIEWS = "/apis/authorization.k8s.io/v1"


class Piece(NamedTuple):
    """The smallest thing that a role gives: one verb on one resource."""

    role: tuple[str, str]  # kind and name
    namespace: str  # empty: all
    group: str
    resource: str
    name: str  # of the one object that it is about; empty: any
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


class World:
    """`home`: the installation's namespace. `place`: where workloads live, opted in. `emulated`: None when real."""

    emulated: Cluster | None = None
    measured: Metrics | None = None  # what a real autoscaler is told, where we can tell it

    def __init__(self, api: Api, home: str, place: str, catalogue: Catalogue, objects: list[Object]) -> None:
        self.api, self.home, self.place, self.catalogue, self.objects = api, home, place, catalogue, objects
        self.end = ExitStack()  # what a test leaves to be put in order
        self.left = ExitStack()  # what is used by many tests, and is of the whole cluster
        self._parts = ExitStack()
        self.gate = self._parts.enter_context(Gate(api))
        self._folder = Path(self._parts.enter_context(TemporaryDirectory()))
        self._tokens: dict[str, str] = {}
        self._kubes: dict[str, Kube] = {}

    def kube(self, account: str) -> Kube:
        """The product's client, as that account of the installation."""
        if account in self._kubes:
            return self._kubes[account]
        file = self.api.kubeconfig_of(self.token(account), self._folder / f"{account}.yaml", server=self.gate.url)
        settings = Settings(
            image="registry.example/akeso:1",
            kube=KubeSettings(kubeconfig=str(file), namespace=self.home, timeout_ms=20_000),
        )
        kube = self._kubes[account] = connect(settings, f"akeso-{account}")
        self._parts.callback(kube.close)
        return kube

    @contextmanager
    def counted(self) -> Iterator[list[Request]]:
        """The product's requests within the block; there after it."""
        before, found = len(self.gate.requests), []
        yield found
        found += self.gate.requests[before:]

    @contextmanager
    def asked(self) -> Iterator[list[str]]:
        """The same requests as the paths that were asked for, with their queries."""
        before, found = len(self.gate.paths), []
        yield found
        found += self.gate.paths[before:]

    @cached_property
    def readers(self) -> dict[str, Kube]:
        """Clients of the functions that look at the cluster."""
        return {name: self.kube(name) for name in ("triage", "verifier", "sweeper", "api")}

    def token(self, account: str) -> str:
        if account not in self._tokens:
            self._tokens[account] = self._new_token(account)
        return self._tokens[account]

    def roles(self, account: str) -> list[tuple[str, Object]]:
        """Each role that is bound to the account, with the namespace in which it holds."""
        known = {(one["kind"], one["metadata"]["name"]): one for one in self.objects}
        return [
            (one["metadata"].get("namespace", ""), known[one["roleRef"]["kind"], one["roleRef"]["name"]])
            for one in self.objects
            if one["kind"] in {"RoleBinding", "ClusterRoleBinding"}
            and any(subject["name"] == account for subject in one["subjects"])
        ]

    def pieces(self, account: str) -> list[Piece]:
        return [
            Piece((role["kind"], role["metadata"]["name"]), namespace, group, resource, name, verb)
            for namespace, role in self.roles(account)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for name in rule.get("resourceNames", [""])
            for verb in rule["verbs"]
        ]

    @contextmanager
    def without(self, account: str, piece: Piece) -> Iterator[None]:
        """Take one piece of what the account may do away; within the block the cluster knows it."""
        role = next(one for _, one in self.roles(account) if (one["kind"], one["metadata"]["name"]) == piece.role)
        self._put(role, [rest for rule in role["rules"] for rest in _less(rule, piece)])
        try:
            until(lambda: not self.may(account, piece), f"{account} still may {piece}")
            yield
        finally:
            self._put(role, role["rules"])
            until(lambda: self.may(account, piece), f"{account} may not {piece} again")

    def may(self, account: str, piece: Piece) -> bool:
        resource, _, sub = piece.resource.partition("/")
        about = {
            "verb": piece.verb, "group": piece.group, "resource": resource, "subresource": sub, "name": piece.name,
            "namespace": piece.namespace or self.place,
        }  # fmt: skip
        return bool(self._review(account, "selfsubjectaccessreviews", {"resourceAttributes": about})["allowed"])

    def rules(self, account: str, namespace: str) -> set[tuple[str, str, str, str]]:
        """What the cluster says that the account may do there, in pieces: group, resource, name, verb."""
        status = self._review(account, "selfsubjectrulesreviews", {"namespace": namespace})
        assert not status["incomplete"], status
        return {
            (group, resource, name, verb)
            for rule in status["resourceRules"]
            for group in rule.get("apiGroups") or [""]
            for resource in rule["resources"]
            for name in rule.get("resourceNames") or [""]
            for verb in rule["verbs"]
        }

    def _review(self, account: str, what: str, spec: Object) -> Object:
        kind = {"selfsubjectaccessreviews": "SelfSubjectAccessReview"}.get(what, "SelfSubjectRulesReview")
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        status: Object = self.api.ok("POST", f"{_REVIEWS}/{what}", body, token=self.token(account))["status"]
        return status

    def stop(self) -> None:
        self.end.close()
        self.left.close()
        self._parts.close()

    def _new_token(self, account: str) -> str:
        raise NotImplementedError

    def _put(self, role: Object, rules: list[Object]) -> None:
        raise NotImplementedError


class Real(World):
    def _new_token(self, account: str) -> str:
        return self.api.token(self.home, account)

    def _put(self, role: Object, rules: list[Object]) -> None:
        namespace, name = role["metadata"].get("namespace", ""), role["metadata"]["name"]
        place = f"{_RBAC}/{f'namespaces/{namespace}/' if namespace else ''}{role['kind'].lower()}s/{name}"
        self.api.ok("PATCH", place, {"rules": rules}, form=MERGE_PATCH)


class Emulated(World):
    def __init__(self, cluster: Cluster, *more: Any) -> None:
        self.emulated = cluster
        self._changed: dict[str, list[Object]] = {}
        super().__init__(*more)

    def _new_token(self, account: str) -> str:
        granted = [
            Granted(namespace, rule)
            for namespace, role in self.roles(account)
            for rule in self._changed.get(role["metadata"]["name"], role["rules"])
        ]
        return self.emulated.rights.account(self.home, account, granted)

    def _put(self, role: Object, rules: list[Object]) -> None:
        self._changed[role["metadata"]["name"]] = rules
        for account in self._tokens:
            self._new_token(account)


def _less(rule: Object, piece: Piece) -> list[Object]:
    """What is left of a rule; a rule about nothing is none."""
    if piece.group not in rule["apiGroups"] or piece.resource not in rule["resources"]:
        return [rule]
    others = [resource for resource in rule["resources"] if resource != piece.resource]
    verbs = [verb for verb in rule["verbs"] if verb != piece.verb]
    parts = [{**rule, "resources": others}, {**rule, "resources": [piece.resource], "verbs": verbs}]
    return [copy.deepcopy(part) for part in parts if part["resources"] and part["verbs"]]


@contextmanager
def built(kubeconfig: Path | None, catalogue: Catalogue, folder: Path) -> Iterator[World]:
    """A world of one's own with those actions, on the real cluster or, without a kubeconfig, on the emulated one."""
    home = f"akeso-rights-{secrets.token_hex(4)}"
    place = f"{home}-shop"
    with ExitStack() as made:
        if kubeconfig:
            api = Api(kubeconfig)
            place = made.enter_context(api.namespace("akeso-rights-shop", {"akeso.dev/autonomy": "auto"}))
            objects = made.enter_context(install.installed(api, home, catalogue)).objects
            nobody = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}}
            api.ok("POST", f"/api/v1/namespaces/{home}/serviceaccounts", nobody)
            there: World = Real(api, home, place, catalogue, objects)
            if "AKESO_RIG" in os.environ:
                there.measured = made.enter_context(Metrics(api, folder / "metrics"))
        else:
            cluster = Cluster(token=secrets.token_hex(8))
            cluster.start()
            made.callback(cluster.stop)
            api = Api(cluster.kubeconfig(folder / "admin.yaml"))
            objects = install.renamed(install.core("base", catalogue), home)
            cluster.namespace(place, {"akeso.dev/autonomy": "auto"})
            for one in objects:
                if one["kind"] == "ConfigMap":
                    cluster.put("ConfigMap", home, copy.deepcopy(one))
            there = Emulated(cluster, api, home, place, catalogue, objects)
        made.callback(there.stop)
        yield there
