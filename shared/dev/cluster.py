"""The emulated Kubernetes API: a real HTTP server with exactly what Akeso uses, everything else 501. Never in a pod.

Why not kmock (0.8, MIT): it has a good language for canned answers, and it keeps and patches objects. But its objects
have no uid or generation and no resourceVersion that moves, so nothing in it is ever stale, and it knows no dry run,
eviction, label selector or controller. Just these are what an emulator must get right here, because exactly-once rests
on them; kmock would have been a web server under our own semantics, with three more packages to install.
"""

import asyncio
import contextlib
import copy
import json
import math
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import web

from shared.dev import cluster_budget
from shared.dev.cluster_controller import Controller
from shared.dev.cluster_errors import ApiError, refused
from shared.dev.cluster_http import Answer, Api
from shared.dev.cluster_list import events, there
from shared.dev.cluster_pods import BEHAVIOUR, MOVE_AFTER, READY_AFTER
from shared.dev.cluster_reviews import kind_of, review
from shared.dev.cluster_rights import API, Rights
from shared.dev.cluster_route import READS, Target, check, left_out, number, selector, target
from shared.dev.cluster_seeds import Seeds
from shared.dev.cluster_store import Key, Object, Store
from shared.kube.selector import Selector

_LOOK_S: Final = 0.02  # how long a watcher may be behind


class Request(NamedTuple):
    verb: str
    path: str
    status: int  # 0: no answer
    dry_run: bool
    user_agent: str
    field_manager: str


class Fault(NamedTuple):
    """What one request meets; empty `kind`, `verb` and `namespace`: whichever comes next. Status 0: there is no answer.

    `applied`: what was asked is done all the same.
    """

    kind: str
    verb: str
    status: int
    applied: bool
    namespace: str

    def meets(self, where: Target, verb: str) -> bool:
        kind, namespace, _ = where.key
        return self.kind in {"", kind} and self.verb in {"", verb} and self.namespace in {"", namespace}


class Cluster(Seeds):
    """`start`, `stop`, seeds and switches; all callable from any thread. With a `token`, other bearers get 401."""

    def __init__(self, *, port: int = 0, token: str = "") -> None:
        self.requests: list[Request] = []
        self.reviews: list[str] = []  # kinds of the questions that were answered about somebody
        self.store = Store()
        self.rights = Rights()
        self._api, self._controller = Api(self.store, self._judge), Controller(self.store)
        self.tick = self._controller.tick  # let the controllers act once, also while they are paused
        self._port, self._token, self._url = port, token, ""
        self._faults: list[Fault] = []
        self._refusals: list[tuple[str, str, str, str, str]] = []  # kind, verb, policy, reason, message
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
        self, *, kind: str = "", verb: str = "", status: int | None = 500, times: int = 1, applied: bool = False,
        namespace: str = "",
    ) -> None:  # fmt: skip
        """Answer the next matching requests with `status`, None for never; `applied`: after doing what was asked."""
        self._faults += [Fault(kind, verb, status or 0, applied, namespace)] * times

    @property
    def unmet_faults(self) -> int:
        """Number of faults that no request has met yet."""
        return len(self._faults)

    def refuse(
        self, *, kind: str = "", verb: str = "", policy: str = "policy", reason: str = "Invalid", message: str = "no"
    ) -> None:
        """Refuse matching changes from now on, as a ValidatingAdmissionPolicy does; `verb` as in the request log."""
        self._refusals.append((kind, verb, policy, reason, message))

    def admit(self) -> None:
        """Take back all refusals."""
        self._refusals.clear()

    def writes(self) -> list[Request]:
        """Successful requests that changed something; the controllers' own changes are not requests."""
        return [r for r in self.requests if r.status in {200, 201} and r.verb not in READS and not r.dry_run]

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        return copy.deepcopy(self.store.find(kind, namespace, name))

    def all(self, kind: str, namespace: str = "", labels: str = "") -> list[Object]:
        return copy.deepcopy(self.store.all(kind, namespace, Selector.parse(labels)))

    def put(self, kind: str, namespace: str, body: Object, *, manager: str = "akeso-seed") -> Object:
        """Create an object as it is, status included; its namespace is made where missing.

        The manager is one of ours unless said: it was there before, and no person is at work on it.
        """
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

    def deployment(
        self, namespace: str, name: str, replicas: int = 1, labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None, *, behaviour: str = "", ready_after: float = 1,
        move_after: float | None = None, notes: dict[str, str] | None = None, resources: Object | None = None,
    ) -> Object:  # fmt: skip
        """Seed a Deployment whose rollout was over before the story begins; its pods carry the label `app: <name>`.

        `notes` are more annotations of its pods, `resources` those of its one container.
        """
        notes = (notes or {}) | {READY_AFTER: str(ready_after)} | ({BEHAVIOUR: behaviour} if behaviour else {})
        notes |= {MOVE_AFTER: str(move_after)} if move_after is not None else {}
        containers = [{"name": "app", "image": f"registry.example/{name}:1"} | (
            {"resources": resources} if resources else {})]  # fmt: skip
        template = {"metadata": {"labels": {"app": name}, "annotations": notes}, "spec": {"containers": containers}}
        return self.put("Deployment", namespace, {
            "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
            "status": {"conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]},
        })  # fmt: skip

    def pdb(self, namespace: str, name: str, labels: dict[str, str], *, min_available: int) -> Object:
        super().pdb(namespace, name, labels, min_available=min_available)
        cluster_budget.count(self.store)
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

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        verb, answer, dry_run = request.method.lower(), Answer(0, {}), "dryRun" in request.query
        try:
            user = self._user(request)
            if kind := kind_of(request.method, request.path):
                return self._review(user, kind, await request.read())
            where = target(request.method, request.path, request.query)
            self.rights.check(user, where)
            verb = where.verb
            fault = next((one for one in self._faults if one.meets(where, verb)), None)
            if fault is not None:
                self._faults.remove(fault)
            if fault is None or fault.applied:
                check(where, request.query, request.headers)
                if verb == "watch":
                    return await self._watch(where, request)
                answer = self._api.answer(where, request.query, request.headers, await request.read())
            if fault is not None:
                answer = Answer(fault.status, ApiError(fault.status, "Injected", "a fault was asked for").body)
        except ApiError as error:
            answer = Answer(error.status, error.body)
        self._log(request, verb, answer.status, dry_run=dry_run)
        if not answer.status:
            await self._end.wait()
        said = web.json_response(answer.body, status=answer.status or 503)
        if answer.text is not None:
            said = web.Response(text=answer.text, status=answer.status)
        for warning in answer.warnings:
            said.headers.add("Warning", warning)
        return said

    def _user(self, request: web.Request) -> str:
        """The account that asks; empty for whoever may do everything."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        bearer = self.rights.bearer(token)
        if (bearer and API not in bearer.audiences) or (not bearer and self._token and token != self._token):
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return bearer.user if bearer else ""

    def _review(self, user: str, kind: str, data: bytes) -> web.Response:
        """Answer a question about somebody; of the faults only one that names this kind is meant for it."""
        fault = next((one for one in self._faults if one.kind == kind), None)
        if fault is not None:
            self._faults.remove(fault)
            raise ApiError(fault.status, "Injected", "a fault was asked for")
        self.reviews.append(kind)
        return web.json_response(review(self.rights, user, kind, data), status=201)

    def _log(self, request: web.Request, verb: str, status: int, *, dry_run: bool) -> None:
        agent, manager = request.headers.get("User-Agent", ""), request.query.get("fieldManager", "")
        self.requests.append(Request(verb, request.path, status, dry_run, agent, manager))

    def _judge(self, verb: str, key: Key) -> None:
        """Refuse a change as an admission policy does, if a test said so."""
        refusal = next((r for r in self._refusals if r[0] in {"", key[0]} and r[1] in {"", verb}), None)
        if refusal is not None:
            raise refused(key[0], key[2], *refusal[2:])

    async def _watch(self, where: Target, request: web.Request) -> web.StreamResponse:
        """Stream what there is and what happens, until the time is up or the cluster stops."""
        kind, namespace, _ = where.key
        wanted, seconds = selector(request.query), number(request.query, "timeoutSeconds")
        version = request.query.get("resourceVersion") or "0"
        if not version.isdecimal():
            raise ApiError(500, "", f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: '
                           f'parsing "{version}": invalid syntax')  # fmt: skip
        with self.store.lock:
            if int(version) > self.store.version:
                raise left_out("future", f"a watch from {version}")
            after = int(version) or self.store.version
            begin = [] if int(version) else there(self.store, kind, namespace, wanted)
        self._log(request, "watch", 200, dry_run=False)
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        until = self._loop.time() + seconds if seconds else math.inf
        while not self._end.is_set() and self._loop.time() < until:
            try:
                with self.store.lock:
                    now, found = self.store.version, [*begin, *events(self.store, kind, namespace, wanted, after)]
            except ApiError as error:
                await stream.write(_line({"type": "ERROR", "object": error.body}))
                break
            with contextlib.suppress(ConnectionResetError):  # a watcher leaves when it likes
                for event in found:
                    await stream.write(_line(event))
            if request.transport is None or request.transport.is_closing():
                break
            begin, after = [], now
            await asyncio.sleep(_LOOK_S)
        return stream


def _line(event: Object) -> bytes:
    return json.dumps(event).encode() + b"\n"
