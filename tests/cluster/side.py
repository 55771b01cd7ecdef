"""One of the two API servers that are compared: what it is asked, and its normalised answers in order."""

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import urllib3

from shared.dev.cluster import Cluster
from shared.dev.cluster_rights import Granted
from tests.cluster import normal
from tests.cluster.api import Answer, Api, Object, until

_GROUPS = {
    "deployments": "apps/v1", "replicasets": "apps/v1", "statefulsets": "apps/v1", "daemonsets": "apps/v1",
    "jobs": "batch/v1", "cronjobs": "batch/v1", "networkpolicies": "networking.k8s.io/v1",
    "poddisruptionbudgets": "policy/v1", "horizontalpodautoscalers": "autoscaling/v2",
}  # fmt: skip


class Side:
    """`side("GET", path)` asks and records; `quiet` only asks. Without a `cluster` it is the real one."""

    def __init__(self, api: Api, namespace: str, cluster: Cluster | None = None) -> None:
        self.namespace = namespace
        # The cluster ends all pods of a node that it has missed for a while, by its name.
        self.no_node = f"no-such-node-{namespace}"
        self.answers: list[tuple[str, Any]] = []
        self._api, self._cluster = api, cluster
        self._seen = normal.Seen()

    def at(self, plural: str, name: str = "", sub: str = "") -> str:
        group = _GROUPS.get(plural, "v1")
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        return "/".join(filter(None, (f"{root}/namespaces/{self.namespace}/{plural}", name, sub)))

    def __call__(
        self, method: str, path: str, body: Any = None, *, form: str = "application/json", quiet: bool = False,
        keep: tuple[str, ...] = (), drop: tuple[str, ...] = (), token: str | None = None, **query: str,
    ) -> Object:  # fmt: skip
        """Send one request; `keep` and `drop` name the fields of an answered object that are compared, or are not."""
        answer = self._api(method, path, body, form=form, token=token, **query)
        self._seen.sent(body)
        if quiet:
            assert answer.status < 300, f"{method} {path}: {answer.said}"
            self._seen.body(answer.body)
        else:
            asked = " ".join([method, path, *(f"{k}={v}" for k, v in query.items()), _text(body)])
            self.answers.append((asked[:300], self._seen.answer(answer, keep=keep, drop=drop)))
        return answer.body

    def account(self, name: str, *, audience: str, rules: tuple[Object, ...] = ()) -> str:
        """Make a ServiceAccount that may do that here; a bearer token of it for that audience."""
        if self._cluster is not None:
            user, granted = (
                f"system:serviceaccount:{self.namespace}:{name}",
                [Granted(self.namespace, r) for r in rules],
            )
            return self._cluster.rights.person(user, granted, audience=audience)
        meta, root = {"metadata": {"name": name}}, f"/api/v1/namespaces/{self.namespace}/serviceaccounts"
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
        self._api.ok("POST", root, meta)
        self._api.ok("POST", f"{rbac}/roles", meta | {"rules": list(rules)})
        self._api.ok("POST", f"{rbac}/rolebindings", meta | {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
        })  # fmt: skip
        until(lambda: all(self._may(name, rule) for rule in rules), f"{name} may not what it was granted")
        return self._api.token(self.namespace, name, audience=audience)

    def _may(self, account: str, rule: Object) -> bool:
        return self._api.allows(
            f"system:serviceaccount:{self.namespace}:{account}", namespace=self.namespace, verb=rule["verbs"][0],
            group=rule["apiGroups"][0], resource=rule["resources"][0],
            name=next(iter(rule.get("resourceNames", ())), ""),
        )  # fmt: skip

    def named(self, method: str, path: str, **query: str) -> Object:
        """Send a request for a list, of which the names and the paging are compared."""
        answer = self._api(method, path, **query)
        self.answers.append((f"{method} {path} {query}", normal.names(answer)))
        return answer.body

    def note(self, **what: Any) -> None:
        self.answers.append(("note", what))

    def settle(self, path: str) -> None:
        """Wait until the controllers have seen the object as it is."""
        if self._cluster is not None:
            self._cluster.tick()
            return

        def seen() -> bool:
            found = self._api.ok("GET", path)
            return bool(found.get("status", {}).get("observedGeneration", 0) >= found["metadata"]["generation"])

        until(seen)
        before = ""
        while before != (before := self._api.ok("GET", path)["metadata"]["resourceVersion"]):
            threading.Event().wait(0.3)

    def budget(self, name: str) -> None:
        """Wait until the budget's controller has counted, and compare what it says."""
        path = self.at("poddisruptionbudgets", name)
        self.settle(path)
        self(
            "GET", path,
            keep=("status.currentHealthy", "status.desiredHealthy", "status.disruptionsAllowed",
                  "status.expectedPods", "metadata.generation"),
        )  # fmt: skip

    @contextmanager
    def refusing(self, reason: str, message: str) -> Iterator[None]:
        """Let a ValidatingAdmissionPolicy refuse every write here, or the emulator say that one does."""
        name = self.namespace
        if self._cluster is not None:
            self._cluster.refuse(policy=name, reason=reason, message=message)
            yield
            self._cluster.admit()
            return
        root = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpol"
        here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
        rule = {"apiVersions": ["*"], "operations": ["CREATE", "UPDATE", "DELETE"], "resources": ["*/*"]}
        rules = [{"apiGroups": ["", "apps"], **rule}]
        says = [{"expression": "false", "message": message, "reason": reason}]
        policy = {"matchConstraints": {"resourceRules": rules, **here}, "validations": says, "failurePolicy": "Fail"}
        binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": here}
        self._api.ok("POST", f"{root}icies", {"metadata": {"name": name}, "spec": policy})
        try:
            self._api.ok("POST", f"{root}icybindings", {"metadata": {"name": name}, "spec": binding})
            until(lambda: "denied" in self._api("POST", self.at("configmaps"), {"metadata": {"name": "is-it-so"}},
                                                dryRun="All").said)  # fmt: skip
            yield
        finally:
            for plural in ("icybindings", "icies"):
                self._api("DELETE", f"{root}{plural}/{name}")
            # Else the namespace itself could not be taken away.
            until(lambda: self._api("POST", self.at("configmaps"), {"metadata": {"name": "is-it-so"}},
                                    dryRun="All").status == 201)  # fmt: skip

    def watch(self, path: str, count: int, *, meanwhile: Callable[[], None] | None = None, **query: str) -> None:
        """Watch until `count` events have come or the stream ends, and compare them."""
        query = {"watch": "true", "timeoutSeconds": "60", **query}
        events: list[Any] = []
        with self._api.stream(path, **query) as answer:
            if answer.status != 200:
                found = Answer(answer.status, json.loads(answer.read()))
                self.answers.append((f"watch {path} {query}", self._seen.answer(found)))
                return
            if meanwhile is not None:
                meanwhile()
            rest = b""
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                while len(events) < count and (chunk := answer.read1(65536)):
                    *lines, rest = (rest + chunk).split(b"\n")
                    events += [normal.event(json.loads(line)) for line in lines if line]
        query.pop("resourceVersion", None)
        self.answers.append((f"watch {path} {query}", events[:count]))


def _text(body: Any) -> str:
    text = "" if body is None else body.decode() if isinstance(body, bytes) else json.dumps(body)
    return re.sub(r'"(uid|resourceVersion)": "[^"]*"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', r"\1", text)
