"""One installation as api sees it: a real Redis, the emulated cluster, keys, and a sink for events."""

import importlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shared import settings
from shared.alert.model import parse
from shared.dev.cluster import Cluster
from shared.dev.cluster_rights import Granted
from shared.event import make
from shared.event.codec import decode
from shared.event.here import Here
from shared.event.make import Emit
from shared.event.types import TYPES, AlertData
from shared.guard import keys
from shared.guard.load import load
from shared.people.who import AUDIENCE, VERBS
from shared.state.transitions import Cause

HOME = "akeso-system"
WORK = {
    "triage": ("functions.triage.main", "triage_event"),
    "router": ("functions.router.main", "route"),
    "guard": ("functions.guard.main", "decide"),
    "executor": ("functions.executor.main", "execute"),
}


class Sink:
    """A broker that keeps what it is sent; `status` is what it answers."""

    def __init__(self):
        self.events = []
        self.status = 202
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if outer.status < 300:
                    outer.events.append(decode(dict(self.headers), body))
                self.send_response(outer.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


class World:
    """`here` is api's; `cause` one of the sweeper's, for moving things as the other functions do."""

    def __init__(self, here, cluster, sink, redis, folder, env):
        self.here, self.cluster, self.sink, self.redis, self.folder, self.env = here, cluster, sink, redis, folder, env
        self._number = 0

    def cause(self, function="guard"):
        self._number += 1
        return Cause(function, "/test", f"event-{self._number}", "default", "default")

    @property
    def shared(self):
        """The installation's own token, which is nobody's."""
        return (self.folder / "api-token").read_text()

    def person(self, name, *verbs, namespace="", actions=(), groups=(), audience=AUDIENCE):
        """A token of somebody with these verbs (else all), there and for these actions, or everywhere and for all."""
        rule = {"apiGroups": ["akeso.dev"], "resources": ["remediations"], "verbs": verbs or VERBS}
        granted = [Granted(namespace, rule | {"resourceNames": actions})]
        return self.cluster.rights.person(name, granted, groups=groups, audience=audience)

    def ask(self, method, path, body=None, *, token=None, raw=None):
        """Api's typed function, without HTTP; what a wrong token raises comes out as it is."""
        from functions.api.main import ask
        from shared.event.app import Call

        token = self.person("ada") if token is None else token
        headers = {"authorization": f"Bearer {token}"} if token else {}
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
        given = ask(Call(method, path, {}, headers, data), self.here)
        return given.status, json.loads(given.body) if given.content_type == "application/json" else given.body

    def ok(self, method, path, body=None, *, token=None):
        status, said = self.ask(method, path, body, token=token)
        assert status == 200, said
        return said

    def audit(self, incident):
        return [record["what"] for record in self.ok("GET", f"v1/incidents/{incident}")["audit"]]

    def alert(self, name="KubeDeploymentBelowMinimum", status="firing", **labels):
        """The event that intake makes of an alert about Deployment shop/checkout, unless the labels say otherwise."""
        labels = {"alertname": name, "namespace": "shop", "deployment": "checkout"} | labels
        body = {"version": "4", "receiver": "r", "groupKey": "g", "alerts": [{"status": status, "labels": labels}]}
        alert = parse(json.dumps(body).encode()).alerts[0]
        self._number += 1
        data = AlertData(alert=alert, ledger=f"ledger{self._number}")
        return make.first(
            "intake", Emit(f"alert.{status}", data), id=f"alert-{self._number}", tenant="default", cluster="default"
        )

    def drive(self, event):
        """Carry an event through the functions, as the broker would, until nobody of them is meant any more."""
        said = []
        while event is not None and (function := TYPES[event.type].subscriber) in WORK:
            env = {"AKESO_ACTION": event.get("action")} if function == "executor" else {}
            here = Here(function)
            here.settings = settings.load({**self.env, **env})
            module, work = WORK[function]
            emit = getattr(importlib.import_module(module), work)(event, TYPES[event.type].schema(**event.data), here)
            event = make.reply(function, event, emit) if emit else None
            said += [emit] if emit else []
        return said

    def checkout(self):
        """Deployment shop/checkout, at rest, with fewer replicas than its owner's minimum."""
        minimum = {"akeso.dev/minimum-replicas": "3"}
        self.cluster.deployment("shop", "checkout", replicas=1, annotations=minimum, ready_after=0)
        for _ in range(4):
            self.cluster.tick()

    def heal(self):
        """An incident about it, carried as far as the machine goes; the incident's id."""
        self.checkout()
        return self.drive(self.alert())[0].incident

    def autonomy(self, word):
        self.cluster.edit("Namespace", "", "shop", {"metadata": {"labels": {"akeso.dev/autonomy": word}}})

    def replicas(self):
        return self.cluster.get("Deployment", "shop", "checkout")["spec"]["replicas"]

    def sweep(self):
        """Load stop and policy as the sweeper does."""
        return load(Here("sweeper"), self.cause("sweeper"))

    def keys(self):
        """Everything that Redis holds, for showing that nothing was moved."""
        store = self.here.state.store
        found = {}
        for key in sorted(store.read("KEYS", "*")):
            if key != "{akeso}:epoch":  # remembers the time of each look
                found[key] = _value(store, key)
        return found


def _value(store, key):
    kind = store.read("TYPE", key)
    if kind == "string":
        return store.read("GET", key)
    if kind == "hash":
        return dict(store.hash(key))
    if kind == "list":
        return store.read("LRANGE", key, 0, -1)
    if kind == "set":
        return sorted(store.read("SMEMBERS", key))
    return store.read("ZRANGE", key, 0, -1)


@contextmanager
def world(tmp_path, monkeypatch, redis):
    folder = tmp_path / "secrets"
    keys.write_dir(folder)
    cluster, sink = Cluster(), Sink()
    cluster.pause()  # the tests let its controllers act
    cluster.start()
    try:
        cluster.namespace(HOME)
        cluster.configmap(HOME, "akeso-stop", {})
        cluster.configmap(HOME, "akeso-policy", {})
        cluster.namespace("shop", {"akeso.dev/autonomy": "auto"})
        env = {
            "AKESO_DEV": "1",
            "AKESO_REDIS__URL": redis.url,
            "AKESO_REDIS__TIMEOUT_MS": "5000",  # a busy machine is no story of these
            "AKESO_KUBE__KUBECONFIG": str(cluster.kubeconfig(tmp_path / "kubeconfig")),
            "AKESO_SECRETS_DIR": str(folder),
            "K_SINK": sink.url,
        }
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        here = Here("api")
        made = World(here, cluster, sink, redis, folder, env)
        here.state.store.read("FLUSHALL")
        made.sweep()
        cluster.requests.clear()
        yield made
    finally:
        cluster.stop()
        sink.stop()
