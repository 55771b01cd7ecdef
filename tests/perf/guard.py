"""What a decision of the guard costs: against what one would put together instead, and against no decision at all.

All are asked in turns on one Redis with the production settings, so that whatever else the machine does hits each of
them. A round trip is what the caller waits; the time in Redis is what all callers share.
"""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any, Final

from tests.perf import growth
from tests.perf.assembled import Assembled
from tests.perf.rig import BUSY, FULL, ROOM, Rig, rig

Row = Callable[..., None]
Decide = Callable[[int], str]
Contender = Callable[[int], Decide]  # by the process's number, run inside it; what it makes is called with 0, 1, ...
ROUNDS: Final = 5
EACH: Final = 60  # decisions of one process in one round
WARM: Final = 10
GIVE_UP_S: Final = 120.0
_fork = multiprocessing.get_context("fork")


def _play(contender: Contender, number: int, want: str, barrier: Any, results: Any) -> None:
    try:
        decide = contender(number)
        for turn in range(WARM):
            decide(turn)
        barrier.wait(GIVE_UP_S)
        took, began = [], time.perf_counter()
        for turn in range(WARM, WARM + EACH):
            start = time.perf_counter()
            word = decide(turn)
            took.append(time.perf_counter() - start)
            if word != want:
                raise RuntimeError(f"{word!r} where {want!r} is measured")
        results.put((began, time.perf_counter(), took, ""))
    except Exception as error:  # noqa: BLE001  told to the parent, which ends the bench
        results.put((0.0, 0.0, [], repr(error)))


def race(contender: Contender, processes: int, want: str) -> tuple[float, list[float]]:
    """Decisions per second of all processes together, and how long each decision took."""
    barrier, results = _fork.Barrier(processes), _fork.Queue()
    runners = [
        _fork.Process(target=_play, args=(contender, number, want, barrier, results), daemon=True)
        for number in range(processes)
    ]
    for runner in runners:
        runner.start()
    try:
        said = [results.get(timeout=GIVE_UP_S) for _ in runners]
    except Empty:
        raise RuntimeError("a process has not answered") from None
    for runner in runners:
        runner.join(GIVE_UP_S)
    if wrong := next((one[3] for one in said if one[3]), ""):
        raise RuntimeError(wrong)
    took = [seconds for one in said for seconds in one[2]]
    return len(took) / (max(one[1] for one in said) - min(one[0] for one in said)), took


# Contenders -----------------------------------------------------------------------------------------------------------


def approvals(world: Rig, processes: int) -> Contender:
    proposals = world.proposals(processes * (WARM + EACH))
    world.load()

    def contender(number: int) -> Decide:
        state, mine = world.connect(), proposals[number::processes]
        return lambda turn: world.decide(state, mine[turn])

    return contender


def denials(world: Rig, processes: int) -> Contender:
    """Each asks again and again, as something new each time, for the namespace whose budget is spent."""
    proposal = world.spend()
    asked = [world.cause(f"guard-{number}") for number in range(processes)]

    def contender(number: int) -> Decide:
        state, cause = world.connect(), asked[number]
        run = f"{cause.id}-{time.perf_counter_ns()}"
        return lambda turn: world.decide(state, (cause._replace(id=f"{run}-{turn}"), proposal[1]), at=world.base)

    return contender


def floor(world: Rig, _: int) -> Contender:
    """The same client, one round trip, one script that does nothing."""
    sha = world.redis.script_load("return 1")

    def contender(_: int) -> Decide:
        client = world.connect().store._redis
        return lambda _: str(client.evalsha(sha, 1, "{akeso}", "{}"))

    return contender


def assembled(world: Rig, _: int, *, careful: bool, full: bool = False) -> Contender:
    budgets = {**ROOM, "rate_namespace": 30 if full else 10**6, "running_ms": 30}
    if full:
        filler, name, turn = Assembled(world.url, budgets, careful=careful), f"fill-{time.perf_counter_ns()}", 0
        while not filler.decide(f"{name}-{turn}", f"Deployment/{FULL}/{name}-{turn}", "scale_deployment", FULL):
            turn += 1

    def contender(number: int) -> Decide:
        mine, run = Assembled(world.url, budgets, careful=careful), f"{number}-{time.perf_counter_ns()}"

        def decide(turn: int) -> str:
            place = FULL if full else f"shop-{turn // 25}-{run}"
            return mine.decide(f"{run}-{turn}", f"Deployment/{place}/web-{run}-{turn}", "scale_deployment", place)

        return decide

    return contender


def lean(world: Rig, processes: int) -> Contender:
    return assembled(world, processes, careful=False)


def careful(world: Rig, processes: int) -> Contender:
    return assembled(world, processes, careful=True)


def careful_denials(world: Rig, processes: int) -> Contender:
    return assembled(world, processes, careful=True, full=True)


CONTENDERS: Final[dict[str, tuple[Callable[[Rig, int], Contender], str]]] = {
    "EVALSHA 'return 1'": (floor, "1"),
    "approvals": (approvals, "approved"),
    "denials": (denials, "rate-namespace"),
    "assembled, no test before hit": (lean, ""),
    "assembled, tests before it hits": (careful, ""),
    "assembled, tests, denials": (careful_denials, FULL),
}


def _per_cent(took: list[float], share: float) -> float:
    return sorted(took)[min(len(took) - 1, int(len(took) * share))] * 1e6


def speed(row: Row, world: Rig) -> None:
    for processes in (1, 8):
        rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for _ in range(ROUNDS):
            for name, (make, want) in CONTENDERS.items():
                per_second, took = race(make(world, processes), processes, want)
                rates[name].append(per_second)
                times[name] += took
        bare, *_ = CONTENDERS
        for name in CONTENDERS:
            against = None if name == bare else bare
            label = f"{processes} process{'es' if processes > 1 else ''}: {name}"
            row(label, *_compared(rates, name, against))
            for share in (0.5, 0.99):
                limit = _per_cent(times[bare], share) if against else None
                row(f"{label}, p{share * 100:.0f}", _per_cent(times[name], share), "us", limit)
        for name, other in (
            ("approvals", "assembled, no test before hit"), ("approvals", "assembled, tests before it hits"),
            ("denials", "assembled, tests, denials"),
        ):  # fmt: skip
            row(f"{processes} x: {name} against {other}", *_compared(rates, name, other))


def _compared(rates: dict[str, list[float]], name: str, other: str | None) -> tuple[float, str, float | None]:
    return statistics.median(rates[name]), "1/s", statistics.median(rates[other]) if other else None


def measure(row: Row) -> None:
    with tempfile.TemporaryDirectory() as folder, rig(Path(folder)) as world:
        about = world.redis.info("server")
        print(f"guard: own redis-server {about['redis_version']}, AOF everysec, noeviction; {len(BUSY.rules)} rules, "
              f"{len(BUSY.windows)} windows; ratios against the row named, in this run")  # fmt: skip
        speed(row, world)
        growth.measure(row, world)
