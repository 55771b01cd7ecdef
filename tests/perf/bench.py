"""Measures and prints; asserts nothing. Ratios within one run count, absolute figures depend on the machine.

`python -m tests.perf.bench [NAME ...]` plays the named parts (all without a name), prints a table for people and writes
one JSON object per line with name, value, unit, baseline and ratio to `build/bench.jsonl`.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from shared import clock
from shared.dev.broker import Broker
from shared.dev.broker_event import Event
from shared.dev.port import HOST, HeldPort
from shared.dev.processes import Functions, Service
from tests.flows.harness import Scene, a_world, group
from tests.perf import examples, guard, stop

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "bench.jsonl"
BARE = "def bare(request):\n    return '', 200\n"
ROUNDS = 5
POLICY = (
    "rate_per_minute: 100\nrate_per_hour: 1000\nstorm_new_incidents: 1000\nstorm_window_s: 60\n"  # room to measure in
)
_rows: list[dict[str, Any]] = []


def row(name: str, value: float, unit: str, baseline: float | None = None) -> None:
    """One figure, with what it is measured against in the same run."""
    ratio = round(value / baseline, 3) if baseline else None
    _rows.append({"name": name, "value": round(value, 3), "unit": unit, "baseline": baseline, "ratio": ratio})
    against = f"  against {baseline:.3f}  ratio {ratio:.2f}" if baseline else ""
    print(f"{name:<44}{value:>12.3f} {unit:<10}{against}", flush=True)


@contextmanager
def bare_function(folder: Path) -> Iterator[Callable[[], Service]]:
    place = folder / "functions" / "bare"
    place.mkdir(parents=True, exist_ok=True)
    (place / "main.py").write_text(BARE)
    yield lambda: Service(name="bare", function="bare", source=str(place / "main.py"))


# Cold start ---------------------------------------------------------------------------------------------------------


@contextmanager
def served(service: Service, env: dict[str, str]) -> Iterator[str]:
    """A function's process, begun; the address where it will answer."""
    source = service.source or f"functions/{service.function}/main.py"
    with HeldPort() as held:
        command = [
            str(Path(sys.executable).with_name("functions-framework")), "--source", source, "--target",
            service.function, "--host", HOST, "--port", str(held.number),
        ]  # fmt: skip
        process = subprocess.Popen(
            command, cwd=ROOT, env={**env, **service.env, "PORT": str(held.number), "THREADS": "8"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield f"http://{HOST}:{held.number}"
        finally:
            process.terminate()
            process.wait()


def answered(url: str, ask: Callable[[str], int]) -> float:
    """Seconds until its next 2xx."""
    began = time.perf_counter()
    while time.perf_counter() - began < 30:
        try:
            if ask(url) // 100 == 2:
                return time.perf_counter() - began
        except httpx.HTTPError:
            time.sleep(0.005)
    raise RuntimeError(f"{url} gives no useful answer")


def first_answer(service: Service, env: dict[str, str], ask: Callable[[str], int]) -> float:
    """Seconds from the start of the process to its first 2xx."""
    began = time.perf_counter()
    with served(service, env) as url:
        answered(url, ask)
        return time.perf_counter() - began


def cold_start() -> None:
    capture = examples.Capture()
    with (
        tempfile.TemporaryDirectory() as folder,
        a_world(Path(folder) / "w", observer=capture) as world,
        bare_function(Path(folder)) as bare,
    ):
        scene = Scene(world)
        examples.record(scene, capture, ROUNDS + 1)
        asks = examples.executors(world, capture) | examples.asks(world, scene, capture)
        times: dict[str, list[float]] = {"bare": []}
        services = {service.name: service for service in world.services}
        for number in range(ROUNDS + 1):
            once = {"bare": first_answer(bare(), world.env, lambda url: httpx.get(url, trust_env=False).status_code)}
            for name, make in asks.items():
                once[name] = first_answer(services[name], world.env, make(number))
            if number:  # the first round warms the page cache
                for name, seconds in once.items():
                    times.setdefault(name, []).append(seconds)
        baseline = statistics.median(times.pop("bare"))
        row("cold start: bare functions-framework", baseline * 1000, "ms")
        for name, seconds in sorted(times.items()):
            row(f"cold start: {name}", statistics.median(seconds) * 1000, "ms", round(baseline * 1000, 3))


def modules() -> None:
    with tempfile.TemporaryDirectory() as folder, bare_function(Path(folder)) as bare:
        baseline = examples.modules_of(bare().source, {})
        row("modules: bare functions-framework", baseline, "modules")
        for function in sorted(path.parent.name for path in (ROOT / "functions").glob("*/main.py")):
            row(f"modules: {function}", examples.modules_of(f"functions/{function}/main.py", {}), "modules", baseline)


# The warm chain -----------------------------------------------------------------------------------------------------


def chain() -> None:
    seen: dict[str, float] = {}
    scopes: dict[str, str] = {}
    changed = threading.Condition()

    def observe(event: Event) -> None:
        with changed:
            if event.type.endswith("incident.triaged.v1"):
                scopes[event.attributes["incidentid"]] = json.loads(event.data)["scope"]["namespace"]
            if event.type.endswith("remediation.succeeded.v1"):
                seen[scopes.get(event.attributes["incidentid"], "")] = time.perf_counter()
                changed.notify_all()

    with tempfile.TemporaryDirectory() as folder, a_world(Path(folder) / "w", observer=observe) as world:
        hop = _bare_hop(Path(folder))
        scene = Scene(world)
        world.cluster.edit("ConfigMap", "akeso-system", "akeso-policy", {"data": {"policy.yaml": POLICY}})  # type: ignore[union-attr]
        scene.tick()
        names = [scene.namespace(name=f"bench-{number}") for number in range(60)]
        for name in names:
            scene.deployment(name)
        took = []
        for number, name in enumerate(names):
            began = time.perf_counter()
            scene.fire(scene.alert(name))
            with changed:
                changed.wait_for(lambda name=name: name in seen, timeout=20)
            if number >= 10:
                took.append((seen[name] - began) * 1000)
        took.sort()
        row("warm chain, webhook to outcome: p50", statistics.median(took), "ms", round(hop, 3))
        row("warm chain, webhook to outcome: p99", took[min(len(took) - 1, int(len(took) * 0.99))], "ms", round(hop, 3))


def _bare_hop(folder: Path) -> float:
    """Median ms from the POST at a broker to the answer of an empty function behind it."""
    with bare_function(folder) as bare:
        trigger = {
            "apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "bare"},
            "spec": {"broker": "default", "filters": [{"exact": {"type": "t"}}],
                     "subscriber": {"ref": {"kind": "Service", "name": "bare"}}, "delivery": {"retry": 1,
                     "backoffPolicy": "linear", "backoffDelay": "PT1S"}},
        }  # fmt: skip
        env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        with (
            Functions([bare()], env=env, logs=folder / "logs", root=ROOT) as functions,
            Broker([trigger], None, functions.resolve, sync=True) as broker,
            httpx.Client(trust_env=False) as http,
        ):
            headers = {"ce-specversion": "1.0", "ce-type": "t", "ce-source": "/b", "ce-id": "1"}
            took = []
            for _ in range(120):
                began = time.perf_counter()
                http.post(broker.url, headers=headers, content=b"{}", timeout=30)
                took.append((time.perf_counter() - began) * 1000)
            value = statistics.median(took[20:])
        row("one bare hop through the local broker", value, "ms")
        return value


def storm() -> None:
    with tempfile.TemporaryDirectory() as folder, a_world(Path(folder) / "w", sync=True) as world:
        scene = Scene(world)
        scene.policy(storm_new_incidents=20)
        names = [scene.namespace(name=f"storm-{number}") for number in range(10)]
        for name in names:
            scene.deployment(name)
        alerts = [scene.alert(names[number % 10], f"web-{number}" if number >= 10 else "web") for number in range(1000)]
        body = group(*(alert.element() for alert in alerts))
        before = scene.counters()
        began, peak = time.perf_counter(), 0
        status, posts = 0, 0
        while True:
            if status != 200:
                status, posts = scene.post(body), posts + 1
            peak = max(peak, sum(map(_rss, world.functions.pids().values())))
            now = scene.counters()
            received = now["alerts_received"] - before.get("alerts_received", 0)
            if status == 200 and received >= 1000 and now["alerts_accounted"] == now["alerts_received"]:
                break
            if time.perf_counter() - began > 300:
                raise RuntimeError(f"not accounted for: {now}")
            time.sleep(0.1)
        row("storm of 1,000 alerts: until accounted for", time.perf_counter() - began, "s")
        row("storm: posts until AlertManager has its 200", posts, "posts")
        row("storm: peak memory of all functions", peak / 1024, "MiB")


def _rss(pid: int) -> int:
    """KiB of the process and its children."""
    total = 0
    for process in (pid, *_children(pid)):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
    return total


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


PARTS = {
    "cold": cold_start, "modules": modules, "guard": lambda: guard.measure(row), "chain": chain, "storm": storm,
    "stop": lambda: stop.play(row),
}  # fmt: skip


def main(names: list[str]) -> int:
    if unknown := set(names) - PARTS.keys():
        print(f"no part named {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    print(f"{clock.iso(clock.now_ms())}, Python {sys.version.split()[0]}")
    for name in names or PARTS:
        PARTS[name]()
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("".join(json.dumps(one) + "\n" for one in _rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
