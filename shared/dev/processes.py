"""The functions of `akeso dev` as real functions-framework processes: started at the first event, stopped when idle.

Every process dies with its parent, however that ends, and its gunicorn workers die with it: a forgotten executor would
go on writing to a cluster. Nothing here may be needed in a pod, where Knative does all of it.
"""

import asyncio
import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from pydantic import Field

from shared.dev.port import HOST, HeldPort
from shared.errors import MalformedError, UnavailableError
from shared.model.base import Model

_START_S: Final = 30.0
_GRACE_S: Final = 5.0  # between SIGTERM and SIGKILL
_POLL_S: Final = 0.02
_HTTP_OK: Final = 200
_LAST_LINES: Final = 15
_MIN_SCALE: Final = "autoscaling.knative.dev/min-scale"
_EXECUTOR: Final = "executor-"

# Runs the executable in its own process after tying that process, and every worker that it forks, to its parent. The
# kernel clears the tie at a fork, and a parent that was gone before the tie was made is only seen by its id.
_LAUNCH: Final = """
import ctypes, os, runpy, signal, sys

def tie(parent):
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)

def after_fork():
    tie(family[0])
    family[0] = os.getpid()

tie(int(sys.argv[1]))
family = [os.getpid()]
os.register_at_fork(after_in_child=after_fork)
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Service(Model):
    """One Knative Service. `concurrency` 0: unbounded. `source` empty: `functions/<function>/main.py`."""

    name: str
    function: str
    env: dict[str, str] = Field(default_factory=dict)
    concurrency: int = Field(default=0, ge=0)
    warm: bool = False
    source: str = ""


class _Run(NamedTuple):
    process: subprocess.Popen[bytes]
    url: str


class Functions:
    """Starts and stops processes. All methods may be called from any thread, `resolve` from any event loop.

    `env` is what every function sees, whole: nothing of this process's environment is added. It is read at each
    start, so that addresses that are known later can be put in before. Logs go to `<logs>/<service>.log`. `root` is
    the folder that holds `functions`. `watch` is told (service, "started" | "stopped" | "died", seconds).
    """

    def __init__(
        self,
        services: Iterable[Service],
        *,
        env: Mapping[str, str],
        logs: Path,
        root: Path,
        idle_s: float = 60.0,
        start_s: float = _START_S,
        watch: Callable[[str, str, float], None] | None = None,
    ) -> None:
        self._services = {service.name: service for service in services}
        self._env, self._logs, self._root = env, logs, root
        self._idle_s, self._start_s, self._watch = idle_s, start_s, watch
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._starting: dict[str, Future[_Run]] = {}
        self._busy: dict[str, int] = {}
        self._quiet_since: dict[str, float] = {}
        self._stopping = threading.Event()
        # A child is tied to the thread that made it, so these threads live as long as this object.
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="functions")
        self._keeper = threading.Thread(target=self._keep, name="functions-keeper", daemon=True)
        self._keeper.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def resolve(self, name: str) -> str:
        """Give the base URL of the service, started if need be; concurrent calls share one start.

        Raises MalformedError for an unknown service, UnavailableError with the last lines of its log when the process
        ends or is not ready in time.
        """
        run = self._running_or_starting(name)
        if isinstance(run, Future):
            run = await asyncio.shield(asyncio.wrap_future(run))  # one that gives up must not end the others' start
        return run.url

    def start_warm(self) -> None:
        """Start all warm services at once and wait. Raises as `resolve`."""
        runs = [self._running_or_starting(service.name) for service in self._services.values() if service.warm]
        for run in runs:
            if isinstance(run, Future):
                run.result()

    def begin(self, name: str) -> None:
        """Count a request that is on its way to the service: it is not idle."""
        with self._lock:
            self._busy[name] = self._busy.get(name, 0) + 1

    def end(self, name: str) -> None:
        with self._lock:
            self._busy[name] -= 1
            self._quiet_since[name] = time.monotonic()

    def pids(self) -> dict[str, int]:
        """Process id (and process group) of every running service's gunicorn master."""
        with self._lock:
            return {name: run.process.pid for name, run in self._runs.items() if run.process.poll() is None}

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signals the whole process group. Raises MalformedError when the service does not run."""
        pid = self.pids().get(name)
        if pid is None:
            raise MalformedError(f"{name} does not run")
        os.killpg(pid, number)

    def stop(self) -> None:
        """End every process, first politely. Nothing can be started afterwards."""
        self._stopping.set()
        self._keeper.join()
        with self._lock:
            starting = list(self._starting.values())
        wait(starting)
        with self._lock:
            runs = list(self._runs.items())
            self._runs.clear()
        for name, run in runs:
            self._pool.submit(self._finish, name, run)
        self._pool.shutdown(wait=True)

    def _running_or_starting(self, name: str) -> _Run | Future[_Run]:
        service = self._services.get(name)
        if service is None:
            raise MalformedError(f"no service {name}", reason="unknown-service")
        with self._lock:
            if self._stopping.is_set():
                raise UnavailableError(f"{name}: everything is being stopped")
            run = self._runs.get(name)
            if run is not None and run.process.poll() is None:
                return run
            self._runs.pop(name, None)
            if name not in self._starting:
                self._starting[name] = self._pool.submit(self._start, service, run)
            return self._starting[name]

    def _start(self, service: Service, dead: _Run | None) -> _Run:
        if dead is not None:
            _signal_group(dead, signal.SIGKILL)  # a worker may have outlived its master
            self._tell(service.name, "died", 0.0)
        began = time.monotonic()
        try:
            run = self._launch(service)
            with self._lock:
                self._runs[service.name] = run
                self._quiet_since[service.name] = time.monotonic()
        finally:
            with self._lock:
                del self._starting[service.name]
        self._tell(service.name, "started", time.monotonic() - began)
        return run

    def _launch(self, service: Service) -> _Run:
        with HeldPort() as held:
            return self._launch_on(service, held.number)

    def _launch_on(self, service: Service, port: int) -> _Run:
        log = self._logs / f"{service.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            before = out.tell()
            process = subprocess.Popen(
                [*_command(service), "--port", str(port), "--host", HOST],
                cwd=self._root,
                env=self._environment(service, port),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        run = _Run(process, f"http://{HOST}:{port}")
        deadline = time.monotonic() + self._start_s
        while not _healthy(port):
            if process.poll() is not None:
                raise UnavailableError(f"{service.name} ended with status {process.returncode}: {_tail(log, before)}")
            if time.monotonic() > deadline or self._stopping.is_set():
                _terminate(run)
                raise UnavailableError(f"{service.name} is not ready after {self._start_s:g} s: {_tail(log, before)}")
            time.sleep(_POLL_S)
        return run

    def _environment(self, service: Service, port: int) -> dict[str, str]:
        derived = {"PORT": str(port), "K_SERVICE": service.name}
        if service.concurrency:
            derived["THREADS"] = str(service.concurrency)
        if service.name.startswith(_EXECUTOR):
            derived["AKESO_ACTION"] = service.name.removeprefix(_EXECUTOR).replace("-", "_")
        return {**self._env, **derived, **service.env}

    def _keep(self) -> None:
        """End what has been idle for long enough."""
        while not self._stopping.wait(min(self._idle_s / 4, 1.0)):
            now = time.monotonic()
            with self._lock:
                idle = [
                    name
                    for name in self._runs
                    if not self._services[name].warm
                    and not self._busy.get(name)
                    and now - self._quiet_since[name] > self._idle_s
                ]
                runs = [(name, self._runs.pop(name)) for name in idle]
            for name, run in runs:
                self._pool.submit(self._finish, name, run)

    def _finish(self, name: str, run: _Run) -> None:
        began = time.monotonic()
        _terminate(run)
        self._tell(name, "stopped", time.monotonic() - began)

    def _tell(self, name: str, what: str, seconds: float) -> None:
        if self._watch is not None:
            self._watch(name, what, seconds)


def from_manifests(manifests: Iterable[Mapping[str, Any]]) -> list[Service]:
    """Services of the `serving.knative.dev/v1` Service manifests among `manifests`.

    Only plain values of `env` are taken: what refers to Secrets and fields has another source at home. Raises
    MalformedError, which names the Service.
    """
    return [
        _from_manifest(manifest)
        for manifest in manifests
        if manifest.get("kind") == "Service" and str(manifest.get("apiVersion", "")).startswith("serving.knative.dev/")
    ]


def _from_manifest(manifest: Mapping[str, Any]) -> Service:
    name = "?"
    try:
        name = manifest["metadata"]["name"]
        template = manifest["spec"]["template"]
        annotations = template.get("metadata", {}).get("annotations", {})
        (container,) = template["spec"]["containers"]
        options = _options(container["args"])
        return Service(
            name=name,
            function=options["target"],
            source=options["source"],
            env={item["name"]: item["value"] for item in container.get("env", ()) if "value" in item},
            concurrency=template["spec"].get("containerConcurrency", 0),
            warm=int(annotations.get(_MIN_SCALE, "0")) > 0,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedError(f"service {name}: {type(error).__name__}: {error}", reason="manifest") from error


def _options(args: Sequence[str]) -> dict[str, str]:
    """`--name value` and `--name=value` by name."""
    options: dict[str, str] = {}
    rest = iter(args)
    for arg in rest:
        option, equals, value = arg.partition("=")
        options[option.removeprefix("--")] = value if equals else next(rest, "")
    return options


def _command(service: Service) -> list[str]:
    framework = Path(sys.executable).with_name("functions-framework")
    source = service.source or f"functions/{service.function}/main.py"
    launch = [sys.executable, "-P", "-c", _LAUNCH, str(os.getpid()), str(framework)]
    return [*launch, "--source", source, "--target", service.function]


def _healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5.0)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == _HTTP_OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as text:
        text.seek(start)
        return "\n".join(text.read().decode(errors="replace").splitlines()[-_LAST_LINES:])


def _terminate(run: _Run) -> None:
    _signal_group(run, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.process.wait(_GRACE_S)
    _signal_group(run, signal.SIGKILL)
    run.process.wait()


def _signal_group(run: _Run, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.process.pid, number)
