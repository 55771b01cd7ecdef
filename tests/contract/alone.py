"""One function by itself: a real functions-framework process, real Redis, an emulated cluster and a broker."""

import asyncio
import shutil
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from shared.action.render import executor_name
from shared.cli import app
from shared.dev import redis as embedded
from shared.dev.cluster import Cluster
from shared.dev.processes import Functions, Service
from shared.dev.tickets import TicketDesk
from shared.event.here import Here
from shared.guard import keys
from shared.guard.load import load
from shared.state.transitions import Cause

ROOT = Path(__file__).parents[2]
HOME = "akeso-system"
ACTION = "scale_deployment"
THREADS = 8


class Answer(NamedTuple):
    """`headers` in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Alone:
    """The surroundings of one function at a time."""

    def __init__(self, folder, env, sink):
        self.folder, self.env, self.sink = folder, env, sink
        self.secrets = folder / "secrets"

    @contextmanager
    def running(self, function):
        """The function's base URL while its process runs."""
        name = executor_name(ACTION) if function == "executor" else function
        service = Service(name=name, function=function, concurrency=THREADS)
        with Functions([service], env=self.env, logs=self.folder / "logs", root=ROOT, idle_s=600) as functions:
            yield asyncio.run(functions.resolve(name))

    def log(self, function):
        name = executor_name(ACTION) if function == "executor" else function
        return (self.folder / "logs" / f"{name}.log").read_text()

    def line(self, capsys, function, url, *options):
        """What `akeso invoke FUNCTION --print-curl` prints."""
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            app(["invoke", function, "--print-curl", "--url", url, "--secrets", str(self.secrets), *options])
        printed = capsys.readouterr()
        assert not ended.value.code, printed.err
        (line,) = printed.out.splitlines()
        return line

    def fresh(self):
        """Empty and hydrated shared state: no answer depends on an earlier one."""
        store = Here("sweeper").state.store
        store.read("FLUSHALL")
        load(Here("sweeper"), Cause("sweeper", "/test", "hydrate", "default", "default"))


def run(line):
    """Run a curl line in a shell."""
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True, timeout=60)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
    return Answer(int(first.split()[1]), headers, body)


def has_curl():
    return shutil.which("curl") is not None


class _Sink:
    """A broker that takes everything and keeps how much."""

    def __init__(self):
        self.taken = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                outer.taken += 1
                self.send_response(202)
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


@contextmanager
def alone(folder, path):
    """Everything that a function may lean on, hydrated; `path` is the PATH of its process."""
    with ExitStack() as stack:
        keys.write_dir(folder / "secrets")
        redis = stack.enter_context(embedded.start(folder / "redis"))
        cluster, sink = Cluster(), _Sink()
        cluster.start()
        stack.callback(cluster.stop)
        stack.callback(sink.stop)
        for name in (HOME, "akeso-example"):
            cluster.namespace(name, {"akeso.dev/autonomy": "auto"})
        cluster.configmap(HOME, "akeso-stop", {"mode": "run"})
        cluster.configmap(HOME, "akeso-policy", {})
        desk = TicketDesk(folder / "tickets")
        desk.start()
        stack.callback(desk.stop)
        env = {
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "AKESO_DEV": "1",
            "AKESO_SECRETS_DIR": str(folder / "secrets"),
            "AKESO_REDIS__URL": redis.url,
            "AKESO_REDIS__TIMEOUT_MS": "5000",
            "AKESO_KUBE__KUBECONFIG": str(cluster.kubeconfig(folder / "kubeconfig")),
            "AKESO_TICKETS__URL": desk.url,
            "K_SINK": sink.url,
        }
        yield Alone(folder, env, sink)
