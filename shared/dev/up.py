"""`akeso dev`: shows two incidents as they happen, then serves until it is told to end.

For trying and testing on one machine, never production. A real cluster is used only when `--kubeconfig` names one, and
workloads are started there only with `--sample`.
"""

import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from shared import clock
from shared.action.render import NAMESPACE
from shared.dev import sample
from shared.dev.alertmanager import AlertSource, RealAlertManager, find_binary
from shared.dev.broker_event import Event
from shared.dev.rules import RULES
from shared.dev.sample_real import RULES as REAL_RULES
from shared.dev.sample_real import RealSample
from shared.dev.story import line_of
from shared.dev.tickets import Ticket
from shared.dev.world import CLUSTER, TENANT, World
from shared.errors import AkesoError, MalformedError, UnavailableError
from shared.kube.client import connect
from shared.settings import Kube as KubeSettings
from shared.settings import Settings

SHOWN_SPEED = 10.0  # the demonstration's minutes are short; afterwards time runs as everywhere
PATIENCE_S = 50.0
REAL_PATIENCE_S = 420.0  # real containers, two restarts of one that no restart heals
_ANSI = {"bold": "\x1b[1m", "dim": "\x1b[2m", "off": "\x1b[0m"}


@dataclass(frozen=True)
class Options:
    once: bool = False
    quiet: bool = False
    ready_file: Path | None = None
    kubeconfig: Path | None = None
    sample: bool = False  # on a real cluster; the emulated one has it anyhow
    redis: str = ""
    speed: float = 1.0
    sync: bool = False
    folder: Path = Path("build/dev")


class _Screen:
    """Prints each event's line once, and notes what the two shown incidents came to."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.incidents: dict[str, str] = {}  # scope key to incident
        self.tickets: dict[str, str] = {}  # incident to reference
        self._lock = threading.Lock()
        self._seen: set[tuple[str, str]] = set()
        self._colour = sys.stdout.isatty()

    def say(self, text: str, style: str = "") -> None:
        if self.quiet:
            return
        start, end = (_ANSI[style], _ANSI["off"]) if style and self._colour else ("", "")
        with self._lock:
            print(f"{start}{text}{end}", flush=True)

    def event(self, event: Event) -> None:
        try:
            data: dict[str, Any] = json.loads(event.data)
        except ValueError:
            return
        if event.type.endswith("incident.triaged.v1"):
            scope = data["scope"]
            self.incidents["/".join((scope["kind"], scope["namespace"], scope["name"]))] = data["incident"]
        with self._lock:
            if (event.source, event.id) in self._seen:
                return
            self._seen.add((event.source, event.id))
        if line := line_of(event.type, data, dict(event.attributes)):
            self.say(f"{clock.now():%H:%M:%S} {line}")

    def ticket(self, ticket: Ticket) -> None:
        self.tickets[ticket["correlation_id"]] = ticket["reference"]
        reasons = ticket["content"].get("reasons") or ticket["history"][-1:]
        said = f"ticket      {ticket['reference']} ({ticket['status']}): {'; '.join(map(str, reasons))[:160]}"
        self.say(f"{clock.now():%H:%M:%S} {ticket['correlation_id'][:12]:<13}{said}", "bold")


def serve(options: Options, *, prepare: Callable[[World, AlertSource | None], None] | None = None) -> int:
    """Run until SIGINT or SIGTERM (or, with `once`, until both incidents have ended); the process' exit status.

    `once` gives 0 only if the verdict on the healed one, read by the api from the audit, is `verified` and the other
    is a ticket. `prepare` is called when everything serves and before the first alert.
    """
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    screen = _Screen(quiet=options.quiet)
    shown = not options.quiet and (options.kubeconfig is None or options.sample)
    speed = SHOWN_SPEED if (shown or options.once) and options.speed == 1.0 else options.speed
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(_own_folder(options.folder))
            real = _real(options, stack)
            world = World(
                folder, speed=speed, sync=options.sync, kubeconfig=options.kubeconfig, redis=options.redis,
                observer=screen.event, on_ticket=screen.ticket, home=real.home if real else NAMESPACE,
            )  # fmt: skip
            screen.say(f"time runs {speed:g} times as fast while two incidents are shown" if shown else "", "dim")
            source = _start(world, stack, real)
            for place in {folder / "ready.json", options.ready_file or folder / "ready.json"}:
                ready = _write_ready(world, place)
                stack.callback(ready.unlink, missing_ok=True)
            if prepare:
                prepare(world, source)
            if source:
                source.start()
                stack.callback(source.stop)
            both = (real.healed, real.told) if real else (_scope(sample.HEALED), _scope(sample.PROTECTED))
            if options.once:
                return _until_both_ended(world, screen, ended, both, REAL_PATIENCE_S if real else PATIENCE_S)
            if shown:
                _until_both_ended(world, screen, ended, both, REAL_PATIENCE_S if real else PATIENCE_S)
                world.pace(1.0)
            if shown and not ended.is_set():
                _what_next(world, screen)
            ended.wait()
    except AkesoError as error:
        print(f"akeso dev: {' '.join(str(error).split())[:500]}", file=sys.stderr)
        return 3
    return 0


def _real(options: Options, stack: ExitStack) -> RealSample | None:
    """The sample on the real cluster that is named, if it is wanted there.

    Without it the installation's own ConfigMaps must be there: nothing of ours is written to a cluster unasked. Raises
    MalformedError (reason `not-installed`) and KubeError.
    """
    if options.kubeconfig is None:
        return None
    kube = connect(Settings(kube=KubeSettings(kubeconfig=str(options.kubeconfig))), "akeso/dev")
    stack.callback(kube.close)
    if options.sample:
        return stack.enter_context(RealSample(kube))
    missing = [name for name in ("akeso-stop", "akeso-policy") if kube.get("ConfigMap", NAMESPACE, name) is None]
    if missing:
        what = f"the cluster has no ConfigMap {' and '.join(missing)} in {NAMESPACE}: install it first (akeso render)"
        raise MalformedError(f"{what}, or say --sample to be shown two incidents", reason="not-installed")
    return None


def _start(world: World, stack: ExitStack, real: RealSample | None) -> AlertSource | None:
    """Start the world and make the source of alerts; on a real cluster that is not the sample's others watch."""
    stack.callback(world.stop)  # also of a world that has come up in part
    if real is None and world.kubeconfig != world.folder / "kubeconfig":
        world.start()
        return None
    binary = find_binary()
    manager = RealAlertManager(binary, world.folder / "alertmanager", world.webhook_url,
                               token_file=world.folder / "secrets" / "webhook-token") if binary else None  # fmt: skip
    source = AlertSource(
        lambda: real or world.cluster, webhook_url=world.webhook_url,
        token_file=world.folder / "secrets" / "webhook-token", via=manager, ignore=frozenset(sample.ON_DEMAND),
        rules=REAL_RULES if real else RULES,
    )  # fmt: skip
    if manager:
        world.env["AKESO_ALERTMANAGER__URL"] = manager.start()
        stack.callback(manager.stop)
    else:
        world.env["AKESO_ALERTMANAGER__URL"] = source.listen()
    world.start()
    if real:
        real.seed()
    elif world.cluster:
        sample.seed(world.cluster)
    return source


class _own_folder(ExitStack):  # noqa: N801 - used as a function
    """The state folder, or the next free one beside it when another `akeso dev` holds it."""

    def __init__(self, wanted: Path) -> None:
        super().__init__()
        self._wanted = wanted

    def __enter__(self) -> Path:  # type: ignore[override]
        super().__enter__()
        for number in range(1, 20):
            folder = self._wanted if number == 1 else self._wanted.with_name(f"{self._wanted.name}-{number}")
            folder.mkdir(parents=True, exist_ok=True)
            lock: TextIO = (folder / "lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            self.callback(lock.close)
            return folder
        raise UnavailableError(f"twenty others run beside {self._wanted}", reason="dev-folder")


def _write_ready(world: World, file: Path) -> Path:
    """Everything serves: where, as one JSON object for scripts and for the other commands."""
    ready = {
        "webhook_url": world.webhook_url, "api_url": world.api_url, "broker_url": world.broker.url,
        "redis_url": world.redis_url, "kubeconfig": str(world.kubeconfig.resolve()), "pid": os.getpid(),
        "secrets": str((world.folder / "secrets").resolve()),
        "token_file": str((next(iter(world.people.values()), world.folder / "secrets" / "api-token")).resolve()),
        "people": {name: str(file.resolve()) for name, file in world.people.items()},
        "tenant": TENANT, "cluster": CLUSTER, "clock_file": str(world.clock_file.resolve()),
        "tickets": str(world.desk.folder.resolve()),
    }  # fmt: skip
    if not file.parent.is_dir():
        raise MalformedError(f"{file.parent} is no folder for a ready file", reason="ready-file")
    scratch = file.with_suffix(".tmp")
    scratch.write_text(json.dumps(ready))
    scratch.replace(file)
    return file


def _scope(name: tuple[str, str]) -> str:
    return "/".join(("Deployment", *name))


def _until_both_ended(
    world: World, screen: _Screen, ended: threading.Event, both: tuple[str, str], patience_s: float
) -> int:
    """Wait until the first scope is healed and a person has been told of the second."""
    deadline = time.monotonic() + patience_s
    healed, told = both
    verdict = ""
    while time.monotonic() < deadline and not ended.wait(0.3):
        if (
            told in screen.incidents
            and screen.incidents[told] in screen.tickets
            and (verdict := _verdict(world, screen.incidents.get(healed, "")))
        ):
            break
    screen.say(f"verdict on {healed}, from the audit: {verdict or 'none yet'}", "bold")
    ticket = screen.tickets.get(screen.incidents.get(told, ""), "")
    screen.say(f"{told}: {'ticket ' + ticket if ticket else 'no ticket'} in {world.desk.folder}", "bold")
    return 0 if verdict == "verified" and ticket else 1


def _verdict(world: World, incident: str) -> str:
    """The verdict as an auditor reads it; empty while there is none."""
    if not incident:
        return ""
    answer = world.api("GET", f"v1/incidents/{TENANT}/{CLUSTER}/{incident}")
    if not answer.is_success:
        return ""
    told: dict[str, Any] = answer.json()
    return str(told.get("verdict") or "")


def _what_next(world: World, screen: _Screen) -> None:
    screen.say("")
    screen.say(f"webhook  {world.webhook_url}", "bold")
    for command, meaning in (
        ("akeso status", "what it does and has done"),
        ("akeso timeline", "each incident, line by line"),
        ("akeso alert examples/held.json", "an alert whose remedy waits for your yes"),
        ("akeso approvals", "what waits: plan, risk, price, who may"),
        ("akeso approve INCIDENT --reason ...", "give it"),
        ("akeso guard", "stops, budgets, breakers, leases, time left"),
        ("akeso stop --reason ...", "no new work; then: akeso alert examples/stop.json"),
        ("akeso resume --reason ...", "go on"),
        ("akeso undo ATTEMPT --reason ...", "take a change back"),
    ):
        screen.say(f"  .venv/bin/{command:<40}{meaning}")
    if others := list(world.people.values())[1:]:
        screen.say(f"as somebody else, for a second yes: AKESO_TOKEN_FILE={others[0]} .venv/bin/akeso ...")
    screen.say("Ctrl-C ends it", "dim")
