"""How long a stop takes until it holds: under load, from the command to the last decision and to the last write.

It measures and judges nothing. The moment from which the delays are counted is the one in which the API server has the
ConfigMap; how long the command needs until then is told by itself.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.dev.world import World
from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.kube.facts import STOP_CONFIGMAP
from shared.state.transitions import Cause, State
from tests.flows.harness import Scene, a_world
from tests.perf import examples

Row = Callable[[str, float, str], None]

ROOT = Path(__file__).parents[2]
ROUNDS = 3
THREADS = 4
PROPOSALS = 4000  # more than are decided before the command has come through
DEPLOYMENTS = 60
UNDER_WAY = 5  # writes that are done when the stop is asked for
ROOM = Policy(  # nothing but the stop is to end it
    concurrency=100, concurrency_per_action=100, blast_workload_percent=100, blast_namespace_percent=100,
    blast_most=1000, rate_per_minute=100, rate_per_hour=1000, rate_per_action_hour=1000, rate_per_namespace_hour=1000,
    storm_new_incidents=1000, storm_window_s=60, storm_failing_percent=100,
)  # fmt: skip
MORE = (  # than any policy may allow: a decision is no write
    "rate_minute", "rate_hour", "rate_action", "rate_namespace", "concurrency", "concurrency_action", "blast_most",
    "storm_new",
)  # fmt: skip


class Watch:
    """Notes when the API server takes a change of the stop, and each write of an executor."""

    def __init__(self, world: World) -> None:
        assert world.cluster is not None
        store = world.cluster.store
        self.stopped, self.writes = 0.0, []
        real = store.patch

        def patch(key: Any, body: Any, *, manager: str, dry_run: bool = False, **more: Any) -> Any:
            found = real(key, body, manager=manager, dry_run=dry_run, **more)
            if key[2] == STOP_CONFIGMAP:
                self.stopped = time.perf_counter()
            elif manager.startswith("akeso-") and not dry_run:
                self.writes.append(time.perf_counter())
            return found

        store.patch = patch  # type: ignore[method-assign]


def admitted(row: Row) -> None:
    """The command itself, while four threads ask for decisions as fast as they get them."""
    command, last, refused = [], [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder, a_world(Path(folder) / "w") as world:
            watch = Watch(world)
            world.api("GET", "v1/status")  # a stop that waits for a cold start would be a figure of its own
            proposals = examples.proposals(examples.state_of(world), PROPOSALS)
            limits = flat(ROOM, "bench") | dict.fromkeys(MORE, 10**6)
            examples.state_of(world).load(
                proposals[0][0], mode="dev", fresh="room", policy=limits, hydrate=True, embargo=0, people_before=False
            )
            done: list[tuple[float, str]] = []
            load = [
                threading.Thread(target=_ask, args=(examples.state_of(world), proposals[n::THREADS], done))
                for n in range(THREADS)
            ]
            for thread in load:
                thread.start()
            began = time.perf_counter()
            _akeso_stop(world)
            for thread in load:
                thread.join()
            last.append(max(at for at, decision in done if decision == "approved") - watch.stopped)
            refused.append(sum(decision != "approved" for _, decision in done))
            command.append(watch.stopped - began)
    if not all(refused):
        raise RuntimeError("the decisions had run out before the stop came")
    row("stop: `akeso stop` to the ConfigMap", statistics.median(command) * 1000, "ms")
    row("stop: ConfigMap to last admit, median", max(0.0, statistics.median(last)) * 1000, "ms")
    row("stop: ConfigMap to last admit, at most", max(0.0, *last) * 1000, "ms")


def _ask(state: State, proposals: list[tuple[Cause, dict[str, Any]]], done: list[tuple[float, str]]) -> None:
    for cause, proposal in proposals:
        decision = state.admit(cause, **proposal)["decision"]
        done.append((time.perf_counter(), decision))


def _akeso_stop(world: World) -> None:
    akeso = [sys.executable, "-c", "from shared.cli import main; main()"]
    subprocess.run(
        [*akeso, "stop", "--reason", "a measurement", "--by", "bench"],
        check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
        env={**os.environ, "AKESO_API": world.api_url,
             "AKESO_TOKEN_FILE": str(world.folder / "secrets" / "api-token")},
    )  # fmt: skip


def written(row: Row) -> None:
    """A person's stop in the middle of many cures."""
    with tempfile.TemporaryDirectory() as folder, a_world(Path(folder) / "w") as world:
        scene, watch, last, after = Scene(world), Watch(world), [], []
        scene.policy(**ROOM.model_dump(mode="json", exclude_defaults=True))
        scene.api("GET", "v1/status")
        for number in range(ROUNDS):
            names = [scene.namespace(name=f"stop-{number}-{n}") for n in range(DEPLOYMENTS)]
            for name in names:
                scene.deployment(name, ready_after=0)
            watch.writes.clear()
            alerts = [scene.alert(name) for name in names]
            scene.fire(*alerts)
            scene.until(lambda: len(watch.writes) >= UNDER_WAY, "nothing is written")
            scene.asked("v1/stop", {"mode": "stop", "reason": "a measurement"})
            scene.settle()
            last.append(max(watch.writes) - watch.stopped)
            after.append(sum(at > watch.stopped for at in watch.writes))
            if len(watch.writes) == DEPLOYMENTS:
                raise RuntimeError("all was written before the stop came")
            scene.asked("v1/stop", {"mode": "run", "reason": "a measurement"})
            scene.resolve(*alerts)  # or the next round would be a storm
            scene.settle()
            world.advance(301)
            scene.heartbeat()
            scene.tick()
        row("stop: ConfigMap to last write, median", max(0.0, statistics.median(last)) * 1000, "ms")
        row("stop: ConfigMap to last write, at most", max(0.0, *last) * 1000, "ms")
        row("stop: writes after the ConfigMap, at most", max(after), "writes")


def play(row: Row) -> None:
    admitted(row)
    written(row)
