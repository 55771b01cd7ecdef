"""Real functions-framework processes: when they start, when they end, and that none is left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import httpx
import pytest

from shared.dev.broker import Broker
from shared.dev.processes import Functions, Service, from_manifests
from shared.errors import MalformedError, UnavailableError
from tests.broker.scripted import HTTP, event_headers, eventually

ECHO = """
import json, os, time

LOADED = time.monotonic()

def {name}(request):
    if request.path == "/healthz":
        return "", 200
    if request.args.get("sleep"):
        time.sleep(float(request.args["sleep"]))
    said = {{"pid": os.getpid(), "parent": os.getppid(), "env": dict(os.environ)}}
    return json.dumps(said), 200
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def root(tmp_path):
    for name in ("echo", "other"):
        folder = tmp_path / "functions" / name
        folder.mkdir(parents=True)
        (folder / "main.py").write_text(ECHO.format(name=name))
    return tmp_path


@pytest.fixture
def functions_of(root):
    made = []

    def make(*services, **options):
        env = {"PATH": os.environ["PATH"], **options.pop("env", {})}
        made.append(Functions(services, env=env, logs=root / "logs", root=root, **options))
        return made[-1]

    yield make
    for functions in made:
        functions.stop()
    assert not any(alive(pid) for functions in made for pid in functions.pids().values())


def ask(functions, name, path="/", **params):
    async def asked():
        functions.begin(name)
        try:
            base = await functions.resolve(name)
            async with httpx.AsyncClient() as client:
                return (await client.get(base + path, params=params, timeout=30)).json()
        finally:
            functions.end(name)

    return asyncio.run(asked())


def test_concurrent_first_events_start_one_process_and_later_ones_none(functions_of):
    seen = []
    functions = functions_of(
        Service(name="echo", function="echo", env={"OWN": "1"}, concurrency=3),
        env={"BASE": "2"},
        watch=lambda *told: seen.append(told[:2]),
    )
    assert functions.pids() == {}

    async def many():
        return await asyncio.gather(*(functions.resolve("echo") for _ in range(5)))

    (url,) = set(asyncio.run(many()))
    assert asyncio.run(functions.resolve("echo")) == url
    assert seen == [("echo", "started")]
    said = ask(functions, "echo")
    assert said["parent"] == functions.pids()["echo"]
    env = said["env"]
    assert (env["OWN"], env["BASE"], env["THREADS"], env["K_SERVICE"]) == ("1", "2", "3", "echo")
    assert url.endswith(":" + env["PORT"])
    assert not set(env) & {"HOME", "KUBECONFIG", "PYTEST_CURRENT_TEST"}


def test_a_caller_that_gives_up_does_not_end_the_start_of_the_others(functions_of):
    functions = functions_of(Service(name="echo", function="echo"))
    crowd = threading.Event()
    for _ in range(8):
        functions._pool.submit(crowd.wait)  # so that the start has not begun when its first caller gives up

    async def two():
        first = asyncio.ensure_future(functions.resolve("echo"))
        second = asyncio.ensure_future(functions.resolve("echo"))
        await asyncio.sleep(0.02)
        first.cancel()
        await asyncio.sleep(0.02)
        crowd.set()
        return await second

    assert asyncio.run(two()).startswith("http://127.0.0.1:")


def test_an_idle_process_is_stopped_but_no_busy_and_no_warm_one(functions_of):
    services = [
        Service(name="idle", function="echo"),
        Service(name="warm", function="echo", warm=True),
        Service(name="busy", function="other"),
    ]
    functions = functions_of(*services, idle_s=0.2)
    functions.start_warm()
    assert set(functions.pids()) == {"warm"}
    functions.begin("busy")
    asyncio.run(functions.resolve("busy"))
    said = ask(functions, "idle")
    eventually(lambda: set(functions.pids()) == {"warm", "busy"})
    eventually(lambda: not alive(said["pid"]) and not alive(said["parent"]))
    functions.end("busy")
    eventually(lambda: set(functions.pids()) == {"warm"})
    assert ask(functions, "idle")["parent"] != said["parent"]


def test_a_killed_process_is_replaced_at_the_next_event_and_its_worker_is_gone(functions_of):
    seen = []
    functions = functions_of(Service(name="echo", function="echo"), watch=lambda *told: seen.append(told[1]))
    first = ask(functions, "echo")
    os.kill(first["parent"], signal.SIGKILL)  # the master alone
    eventually(lambda: functions.pids() == {} and not alive(first["pid"]))
    second = ask(functions, "echo")
    assert second["parent"] != first["parent"]
    functions.kill("echo")
    eventually(lambda: functions.pids() == {} and not alive(second["pid"]))
    with pytest.raises(MalformedError):
        functions.kill("echo")
    assert ask(functions, "echo")["pid"] != second["pid"]
    assert seen == ["started", "died", "started", "died", "started"]


def test_a_process_that_ends_at_once_tells_why_and_is_tried_again(functions_of, root):
    main = root / "functions/echo/main.py"
    good = main.read_text()
    main.write_text("raise RuntimeError('no such luck')\n")
    functions = functions_of(Service(name="echo", function="echo"))
    with pytest.raises(UnavailableError, match="no such luck"):
        asyncio.run(functions.resolve("echo"))
    assert "no such luck" in (root / "logs/echo.log").read_text()
    main.write_text(good)
    assert ask(functions, "echo")["pid"]


def test_a_process_that_is_never_ready_is_ended(functions_of, root):
    (root / "functions/echo/main.py").write_text("def echo(request):\n    return 'not yet', 503\n")
    functions = functions_of(Service(name="echo", function="echo"), start_s=0.5)
    with pytest.raises(UnavailableError, match="not ready"):
        asyncio.run(functions.resolve("echo"))
    assert functions.pids() == {}


def test_an_unknown_service_is_refused(functions_of):
    with pytest.raises(MalformedError, match="nobody"):
        asyncio.run(functions_of().resolve("nobody"))


def test_stop_ends_masters_and_workers_and_nothing_starts_afterwards(functions_of):
    functions = functions_of(Service(name="echo", function="echo"))
    said = ask(functions, "echo")
    functions.stop()
    eventually(lambda: not alive(said["pid"]) and not alive(said["parent"]))
    with pytest.raises(UnavailableError):
        asyncio.run(functions.resolve("echo"))


def test_a_killed_parent_leaves_no_process(root):
    code = f"""
        import asyncio, json, pathlib, time, urllib.request
        from shared.dev.processes import Functions, Service
        root = pathlib.Path({str(root)!r})
        functions = Functions([Service(name="echo", function="echo")], env={{}}, logs=root / "logs", root=root)
        url = asyncio.run(functions.resolve("echo"))
        print(urllib.request.urlopen(url).read().decode(), flush=True)
        urllib.request.urlopen(url + "/?sleep=60")
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    said = json.loads(parent.stdout.readline())
    assert alive(said["pid"])
    assert alive(said["parent"])
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: not alive(said["pid"]) and not alive(said["parent"]))


def test_an_executor_knows_its_action_by_its_name(functions_of):
    functions = functions_of(
        Service(name="executor-restart-pod", function="echo"),
        Service(name="executor-x", function="echo", env={"AKESO_ACTION": "own"}),
    )
    assert ask(functions, "executor-restart-pod")["env"]["AKESO_ACTION"] == "restart_pod"
    assert ask(functions, "executor-x")["env"]["AKESO_ACTION"] == "own"


def manifest(**changes):
    container = {
        "image": "akeso",
        "args": ["--source", "functions/guard/main.py", "--target=guard"],
        "env": [{"name": "A", "value": "1"}, {"name": "S", "valueFrom": {"secretKeyRef": {}}}],
        **changes,
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "guard"},
        "spec": {
            "template": {
                "metadata": {"annotations": {"autoscaling.knative.dev/min-scale": "1"}},
                "spec": {"containerConcurrency": 8, "containers": [container]},
            }
        },
    }


def test_services_are_read_from_their_manifests():
    core = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "redis"}, "spec": {}}
    (service,) = from_manifests([core, manifest()])
    assert service == Service(
        name="guard", function="guard", env={"A": "1"}, concurrency=8, warm=True, source="functions/guard/main.py"
    )


@pytest.mark.parametrize("args", [[], ["--source", "x.py"], None])
def test_a_service_manifest_without_function_is_refused(args):
    with pytest.raises(MalformedError, match="guard"):
        from_manifests([manifest(args=args)])


def test_the_broker_starts_a_function_at_its_first_event(functions_of, trigger, root):
    functions = functions_of(Service(name="echo", function="echo", concurrency=2), idle_s=3)
    (root / "functions/echo/main.py").write_text(
        "def echo(request):\n    return '', 200 if request.path == '/healthz' else 204\n"
    )
    with Broker([trigger("echo")], None, functions.resolve, begin=functions.begin, end=functions.end) as broker:
        assert functions.pids() == {}
        functions.begin("echo")  # so that it is not idle before it was looked at
        assert HTTP.post(broker.url, headers=event_headers("echo"), content=b"{}", timeout=30).status_code == 202
        assert set(functions.pids()) == {"echo"}
        assert HTTP.get(f"{broker.url}/services/echo/healthz").status_code == 200
        functions.end("echo")
        eventually(lambda: functions.pids() == {})
        assert [record.status for record in broker.log] == [204]


def test_a_burst_of_200_events_on_one_cold_process_all_ends_well(functions_of, trigger, root):
    functions = functions_of(Service(name="echo", function="echo", concurrency=4))
    (root / "functions/echo/main.py").write_text(
        "import time\n\ndef echo(request):\n    time.sleep(0.002)\n"
        "    return '', 200 if request.path == '/healthz' else 204\n"
    )
    options = {"sync": False, "concurrency": {"echo": 4}, "begin": functions.begin, "end": functions.end}
    with Broker([trigger("echo")], None, functions.resolve, **options) as broker:
        for number in range(200):
            HTTP.post(broker.url, headers=event_headers("echo", id=str(number)), content=b"{}")
        eventually(broker.idle, seconds=120)
        assert [record.status for record in broker.log] == [204] * 200
