"""The emulated Kubernetes API: a real HTTP server with exactly what Akeso uses, everything else 501. Never in a pod.

Why not kmock (0.8, MIT): it has a good language for canned answers, and it keeps and patches objects. But its objects
have no uid or generation and no resourceVersion that moves, so nothing in it is ever stale, and it knows no dry run,
eviction, label selector or controller. Just these are what an emulator must get right here, because exactly-once rests
on them; kmock would have been a web server under our own semantics, with three more packages to install.
"""

import asyncio
import copy
import json
import re
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import web

from shared import clock
from shared.dev.cluster_controller import BEHAVIOUR, MOVE_AFTER, READY_AFTER, Controller, is_ready
from shared.dev.cluster_store import ApiError, Key, Object, Store
from shared.errors import MalformedError
from shared.kube.kinds import KINDS
from shared.kube.selector import Selector

_PATH: Final = re.compile(
    r"/(?:api|apis)/(?P<api>v1|[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?"
)
_PLACES: Final = {(kind.api, kind.plural): name for name, kind in KINDS.items()}
_VERBS: Final = {"GET": ("list", "get"), "POST": ("create", ""), "PATCH": ("", "patch"), "DELETE": ("", "delete")}
_FORMS: Final = {"application/json-patch+json": list, "application/merge-patch+json": dict}


class Request(NamedTuple):
    verb: str
    path: str
    status: int  # 0: left hanging
    dry_run: bool
    user_agent: str
    field_manager: str


class Cluster:
    """`start`, `stop`, seeds and switches; all callable from any thread. With a `token`, other bearers get 401."""

    def __init__(self, *, port: int = 0, token: str = "") -> None:
        self.requests: list[Request] = []
        self.store = Store()
        self._controller = Controller(self.store)
        self.tick = self._controller.tick  # let the controllers act once, also while they are paused
        self._port, self._token, self._url = port, token, ""
        self._faults: list[tuple[str, str, int | None, bool]] = []  # kind, verb, status, applied
        self._paused = False
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Serve on loopback and answer the URL. Raises OSError if the port is taken."""
        started: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        self._url = started.result(10)
        return self._url

    def stop(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(10)

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig for this cluster, with the token if there is one."""
        context = {"name": "emulated", "context": {"cluster": "emulated", "user": "emulated"}}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "emulated", "contexts": [context]}
        config["clusters"] = [{"name": "emulated", "cluster": {"server": self._url}}]
        config["users"] = [{"name": "emulated", "user": {"token": self._token or "any"}}]
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))  # JSON is YAML
        return path

    def pause(self) -> None:
        with self.store.lock:
            self._paused = True

    def resume(self) -> None:
        self._paused = False

    def fault(
        self, *, kind: str = "", verb: str = "", status: int | None = 500, times: int = 1, applied: bool = False
    ) -> None:
        """Answer the next matching requests with `status`, None for never; `applied`: after doing what was asked."""
        self._faults += [(kind, verb, status, applied)] * times

    @property
    def unmet_faults(self) -> int:
        """Number of faults that no request has met yet."""
        return len(self._faults)

    def writes(self) -> list[Request]:
        """Successful requests that changed something; the controllers' own changes are not requests."""
        return [r for r in self.requests if r.status in {200, 201} and r.verb not in {"get", "list"} and not r.dry_run]

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        return copy.deepcopy(self.store.find(kind, namespace, name))

    def all(self, kind: str, namespace: str = "", labels: str = "") -> list[Object]:
        return copy.deepcopy(self.store.all(kind, namespace, Selector.parse(labels)))

    def put(self, kind: str, namespace: str, body: Object, *, manager: str = "seed") -> Object:
        """Create an object as it is, status included; its namespace is made where missing."""
        if namespace and self.store.find("Namespace", "", namespace) is None:
            self.namespace(namespace)
        return copy.deepcopy(self.store.create(kind, namespace, body, manager=manager))

    def edit(self, kind: str, namespace: str, name: str, merge: Object, *, manager: str = "kubectl-edit") -> Object:
        """Change an object by a merge patch, as somebody else would."""
        return copy.deepcopy(self.store.patch((kind, namespace, name), merge, manager=manager))

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Remove an object at once, as somebody else would; with a namespace goes what is in it."""
        self.store.delete((kind, namespace, name))

    def set_status(self, kind: str, namespace: str, name: str, status: Object) -> Object:
        """Replace an object's status as its controller would. A controller that is not paused may do so again."""
        return copy.deepcopy(self.store.status((kind, namespace, name), status))

    def namespace(self, name: str, labels: dict[str, str] | None = None) -> Object:
        return self.put("Namespace", "", {"metadata": {"name": name, "labels": labels or {}}})

    def node(self, name: str, labels: dict[str, str] | None = None) -> Object:
        return self.put("Node", "", {"metadata": {"name": name, "labels": labels or {}}, "spec": {}})

    def configmap(self, namespace: str, name: str, data: dict[str, str]) -> Object:
        return self.put("ConfigMap", namespace, {"metadata": {"name": name}, "data": data})

    def deployment(
        self, namespace: str, name: str, replicas: int = 1, labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None, *, behaviour: str = "", ready_after: float = 1,
        move_after: float | None = None,
    ) -> Object:  # fmt: skip
        """Seed a Deployment whose rollout was over before the story begins; its pods carry the label `app: <name>`."""
        notes = {READY_AFTER: str(ready_after)} | ({BEHAVIOUR: behaviour} if behaviour else {})
        notes |= {MOVE_AFTER: str(move_after)} if move_after is not None else {}
        containers = [{"name": "app", "image": f"registry.example/{name}:1"}]
        template = {"metadata": {"labels": {"app": name}, "annotations": notes}, "spec": {"containers": containers}}
        return self.put("Deployment", namespace, {
            "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
            "status": {"conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]},
        })  # fmt: skip

    def hpa(self, namespace: str, name: str, target: str, kind: str = "Deployment") -> Object:
        spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": target}, "maxReplicas": 10}
        return self.put("HorizontalPodAutoscaler", namespace, {"metadata": {"name": name}, "spec": spec})

    def pdb(self, namespace: str, name: str, labels: dict[str, str], *, min_available: int) -> Object:
        spec = {"minAvailable": min_available, "selector": {"matchLabels": labels}}
        self.put("PodDisruptionBudget", namespace, {"metadata": {"name": name}, "spec": spec})
        self._controller.budgets()
        return copy.deepcopy(self.store.get("PodDisruptionBudget", namespace, name))

    async def _serve(self, started: "Future[str]") -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=3 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
            started.set_result(f"http://127.0.0.1:{runner.addresses[0][1]}")
            end = asyncio.create_task(self._end.wait())
            while not end.done():
                with self.store.lock:
                    if not self._paused:
                        self.tick()
                await asyncio.wait([end], timeout=0.05)
        except OSError as error:
            started.set_exception(error)
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        verb, status, body, dry_run = request.method.lower(), 0, Object(), request.query.get("dryRun") == "All"
        try:
            verb, key = self._route(request)
            fault = next((f for f in self._faults if f[0] in {"", key[0]} and f[1] in {"", verb}), None)
            if fault is not None:
                self._faults.remove(fault)
            if fault is None or fault[3]:
                status, body = self._do(verb, key, request, await request.read(), dry_run=dry_run)
            if fault is not None:
                status, body = fault[2] or 0, ApiError(fault[2] or 0, "Injected", "a fault was asked for").body
        except (ApiError, MalformedError) as error:
            said = error if isinstance(error, ApiError) else ApiError(400, "BadRequest", str(error))
            status, body = said.status, said.body
        agent, manager = request.headers.get("User-Agent", ""), request.query.get("fieldManager", "")
        self.requests.append(Request(verb, request.path, status, dry_run, agent, manager))
        if not status:
            await self._end.wait()
        return web.json_response(body, status=status or 503)

    def _route(self, request: web.Request) -> tuple[str, Key]:
        if self._token and request.headers.get("Authorization") != f"Bearer {self._token}":
            raise ApiError(401, "Unauthorized", "Unauthorized")
        match = _PATH.fullmatch(request.path)
        kind = _PLACES.get((match["api"], match["plural"]), "") if match else ""
        name, sub = (match["name"] or "", match["sub"] or "") if match else ("", "")
        verb = _VERBS.get(request.method, ("", ""))[bool(name)] if not sub else ""
        if (request.method, kind, sub) == ("POST", "Pod", "eviction"):
            verb = "evict"
        if match is None or not kind or not verb or {"watch", "fieldSelector", "continue"} & set(request.query):
            raise ApiError(501, "NotImplemented", f"{request.method} {request.path_qs} is not emulated")
        return verb, (kind, match["namespace"] or "", name)

    def _do(self, verb: str, key: Key, request: web.Request, data: bytes, *, dry_run: bool) -> tuple[int, Any]:
        manager = request.query.get("fieldManager") or request.headers.get("User-Agent", "unknown").split("/")[0]
        if verb == "get":
            return 200, self.store.get(*key)
        if verb == "list":
            items = self.store.all(key[0], key[1], Selector.parse(request.query.get("labelSelector", "")))
            return 200, {"kind": f"{key[0]}List", "apiVersion": KINDS[key[0]].api, "metadata": {}, "items": items}
        if verb == "delete":
            return 200, self.store.get(*key) if dry_run else self.store.delete(key)
        try:
            body = json.loads(data)
        except ValueError as error:
            raise ApiError(400, "BadRequest", "the body is no JSON") from error
        form = _FORMS.get(request.content_type) if verb == "patch" else dict
        if form is None or not isinstance(body, form):
            raise ApiError(501, "NotImplemented", f"a {verb} of type {request.content_type} is not emulated")
        if verb == "patch":
            return 200, self.store.patch(key, body, manager=manager, dry_run=dry_run)
        if verb == "evict":
            return 201, self._evict(key, body, dry_run=dry_run)
        body.pop("status", None)
        return 201, self.store.create(key[0], key[1], body, manager=manager, dry_run=dry_run)

    def _evict(self, key: Key, body: Object, *, dry_run: bool) -> Object:
        with self.store.lock:
            pod = self.store.get(*key)
            for field, wanted in ((body.get("deleteOptions") or {}).get("preconditions") or {}).items():
                if wanted != pod["metadata"].get(field):
                    raise ApiError(409, "Conflict", f"Precondition failed: {field} of pod {key[2]} differs")
            self._controller.budgets()
            labels, all_budgets = pod["metadata"].get("labels") or {}, self.store.all("PodDisruptionBudget", key[1])
            budgets = [b["status"] for b in all_budgets if Selector.of(b["spec"].get("selector")).matches(labels)]
            if len(budgets) > 1:
                raise ApiError(500, "InternalError", "This pod has more than one PodDisruptionBudget")
            # A pod that is not ready takes nothing from a budget that is met.
            spare = any(not is_ready(pod) and b["currentHealthy"] >= b["desiredHealthy"] > 0 for b in budgets)
            if not spare and any(budget["disruptionsAllowed"] < 1 for budget in budgets):
                raise ApiError(429, "TooManyRequests", "Cannot evict pod as it would violate its disruption budget.")
            if not dry_run:
                leaving = {"deletionTimestamp": clock.iso(clock.now_ms())}
                self.store.patch(key, {"metadata": leaving}, manager="", trusted=True)
                self._controller.budgets()
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
