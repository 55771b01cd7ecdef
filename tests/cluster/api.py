"""A real API server as a test sees it: any request, as anybody, with the answer as it came.

It must not share code with the product's client, whose mistakes it is here to find. `kubernetes` only reads the
kubeconfig, because clouds log in by helpers of their own.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config

Object = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATIENCE_S = 180.0  # a busy machine starts a container in ten times its usual second


class Answer(NamedTuple):
    status: int
    body: Object
    warnings: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        return f"{self.status} {self.body.get('message', '')}"


class Api:
    """One API server. `api("GET", path)` asks as the kubeconfig's user, with `token` as its bearer."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        configuration = Configuration()
        load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
        self.url = configuration.host
        self.ca = configuration.ssl_ca_cert
        self._bearer = configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or ""
        tls = {"ca_certs": configuration.ssl_ca_cert, "cert_reqs": "CERT_REQUIRED"} if self.ca else {}
        self._anybody = urllib3.PoolManager(maxsize=8, block=False, retries=False, **tls)
        self._admin = urllib3.PoolManager(
            maxsize=8, block=False, retries=False, cert_file=configuration.cert_file, key_file=configuration.key_file,
            **tls,
        )  # fmt: skip

    def __call__(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, form: str = "application/json",
        agent: str = "akeso-test", timeout_s: float = 30, **query: str,
    ) -> Answer:  # fmt: skip
        """Send one request; `body` is JSON unless it is bytes. `token=""` is nobody."""
        headers = {"Accept": "application/json", "Content-Type": form, "User-Agent": agent}
        if bearer := (self._bearer if token is None else f"Bearer {token}" if token else ""):
            headers["Authorization"] = bearer
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.url}{path}{'?' + urlencode(query) if query else ''}"
        pool = self._admin if token is None else self._anybody
        answer = pool.request(method, url, body=sent, headers=headers, timeout=timeout_s)
        try:
            found = json.loads(answer.data or b"{}")
        except ValueError:
            found = {"text": answer.data.decode(errors="replace")}
        return Answer(answer.status, found if isinstance(found, dict) else {"value": found},
                      tuple(answer.headers.getlist("warning")))  # fmt: skip

    @contextmanager
    def stream(self, path: str, **query: str) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer to a request whose body comes bit by bit, as a watch's does."""
        headers = {"Accept": "application/json"} | ({"Authorization": self._bearer} if self._bearer else {})
        answer = self._admin.request("GET", f"{self.url}{path}?{urlencode(query)}", headers=headers,
                                     preload_content=False, timeout=90)  # fmt: skip
        try:
            yield answer
        finally:
            answer.close()

    def allows(self, user: str, *, verb: str, resource: str, group: str = "", namespace: str, name: str = "") -> bool:
        """Whether the authorizer lets that user do it by what it has heard of so far."""
        about = {"verb": verb, "group": group, "resource": resource, "namespace": namespace, "name": name}
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": about},
        }  # fmt: skip
        answer = self.ok("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Object:
        """The body of an answer that must be a success."""
        answer = self(method, path, body, **more)
        assert 200 <= answer.status < 300, f"{method} {path}: {answer.said}"
        return answer.body

    def apply(self, path: str, body: Object, *, manager: str = "akeso-test", **query: str) -> Object:
        """Server-side apply with strict field validation: an unknown field is an error."""
        query = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict", **query}
        return self.ok("PATCH", path, body, form=APPLY_PATCH, **query)

    def token(self, namespace: str, account: str, *, seconds: int = 3600, audience: str = "") -> str:
        """A bearer token of that ServiceAccount, for the API server or for whoever is named."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds} | ({"audiences": [audience]} if audience else {}),
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.ok("POST", path, body)["status"]["token"])

    def kubeconfig_of(self, token: str, file: Path, *, server: str = "") -> Path:
        """Write a kubeconfig whose user has that token and nothing else."""
        cluster = {"server": server or self.url} | (
            {"certificate-authority": self.ca} if self.ca and not server else {}
        )
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": cluster}], "users": [{"name": "test", "user": {"token": token}}],
        }  # fmt: skip
        file.touch(mode=0o600)
        file.write_text(json.dumps(config))
        return file

    @contextmanager
    def namespace(self, prefix: str = "akeso-test", labels: dict[str, str] | None = None) -> Iterator[str]:
        """A namespace of one's own, gone at the end."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        body = {"metadata": {"name": name, "labels": {"akeso.dev/test": "true"} | (labels or {})}}
        self.ok("POST", "/api/v1/namespaces", body)
        try:
            until(lambda: self("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default").status == 200)
            yield name
        finally:
            self("DELETE", f"/api/v1/namespaces/{name}", {"propagationPolicy": "Background"})


def until(what: Callable[[], Any], why: str = "it does not come true", seconds: float = PATIENCE_S) -> Any:
    """Poll until something is true; what it then is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{why} within {seconds:g} s")
