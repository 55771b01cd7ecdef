"""`akeso dev`: shows two incidents as they happen, then serves until it is told to end.

For trying and testing on one machine, never production. A real cluster is used only when `--kubeconfig` names one.
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
from shared.dev import sample
from shared.dev.alertmanager import AlertSource, RealAlertManager, find_binary
from shared.dev.broker_event import Event
from shared.dev.story import line_of
from shared.dev.tickets import Ticket
from shared.dev.world import CLUSTER, TENANT, World
from shared.errors import AkesoError, MalformedError, UnavailableError

SHOWN_SPEED = 10.0  # the demonstration's minutes are short; afterwards time runs as everywhere
PATIENCE_S = 50.0
_ANSI = {"bold": "\x1b[1m", "dim": "\x1b[2m", "off": "\x1b[0m"}


@dataclass(frozen=True)
class Options:
    once: bool = False
    quiet: bool = False
    ready_file: Path | None = None
    kubeconfig: Path | None = None
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
    shown = not options.quiet and options.kubeconfig is None
    speed = SHOWN_SPEED if (shown or options.once) and options.speed == 1.0 else options.speed
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(_own_folder(options.folder))
            world = World(
                folder, speed=speed, sync=options.sync, kubeconfig=options.kubeconfig, redis=options.redis,
                observer=screen.event, on_ticket=screen.ticket,
            )  # fmt: skip
            screen.say(f"time runs {speed:g} times as fast while two incidents are shown" if shown else "", "dim")
            source = _start(world, stack)
            for place in {folder / "ready.json", options.ready_file or folder / "ready.json"}:
                ready = _write_ready(world, place)
                stack.callback(ready.unlink, missing_ok=True)
            if prepare:
                prepare(world, source)
            if source:
                source.start()
                stack.callback(source.stop)
            if options.once:
                return _until_both_ended(world, screen, ended)
            if shown:
                _until_both_ended(world, screen, ended)
                world.pace(1.0)
            if shown and not ended.is_set():
                _what_next(world, screen)
            ended.wait()
    except AkesoError as error:
        print(f"akeso dev: {' '.join(str(error).split())[:500]}", file=sys.stderr)
        return 3
    return 0


def _start(world: World, stack: ExitStack) -> AlertSource | None:
    """Start the world and make the source of alerts; without an emulated cluster there is nothing to watch."""
    stack.callback(world.stop)  # also of a world that has come up in part
    if world.kubeconfig != world.folder / "kubeconfig":
        world.start()
        return None
    real = find_binary()
    manager = RealAlertManager(real, world.folder / "alertmanager", world.webhook_url,
                               token_file=world.folder / "secrets" / "webhook-token") if real else None  # fmt: skip
    source = AlertSource(
        lambda: world.cluster, webhook_url=world.webhook_url, token_file=world.folder / "secrets" / "webhook-token",
        via=manager, ignore=frozenset(sample.ON_DEMAND),
    )  # fmt: skip
    if manager:
        world.env["AKESO_ALERTMANAGER__URL"] = manager.start()
        stack.callback(manager.stop)
    else:
        world.env["AKESO_ALERTMANAGER__URL"] = source.listen()
    world.start()
    if world.cluster:
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
        "token_file": str((world.folder / "secrets" / "api-token").resolve()),
        "tenant": TENANT, "cluster": CLUSTER, "clock_file": str(world.clock_file.resolve()),
        "tickets": str(world.desk.folder.resolve()),
    }  # fmt: skip
    if not file.parent.is_dir():
        raise MalformedError(f"{file.parent} is no folder for a ready file", reason="ready-file")
    scratch = file.with_suffix(".tmp")
    scratch.write_text(json.dumps(ready))
    scratch.replace(file)
    return file


def _until_both_ended(world: World, screen: _Screen, ended: threading.Event) -> int:
    deadline = time.monotonic() + PATIENCE_S
    healed, protected = ("/".join(("Deployment", *name)) for name in (sample.HEALED, sample.PROTECTED))
    verdict = ""
    while time.monotonic() < deadline and not ended.wait(0.3):
        if (
            protected in screen.incidents
            and screen.incidents[protected] in screen.tickets
            and (verdict := _verdict(world, screen.incidents.get(healed, "")))
        ):
            break
    screen.say(f"verdict on {healed}, from the audit: {verdict or 'none yet'}", "bold")
    told = screen.tickets.get(screen.incidents.get(protected, ""), "")
    screen.say(f"{protected}: {'ticket ' + told if told else 'no ticket'} in {world.desk.folder}", "bold")
    return 0 if verdict == "verified" and told else 1


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
        ("akeso approve INCIDENT --reason ...", "give it"),
        ("akeso stop --reason ...", "no new work; then: akeso alert examples/stop.json"),
        ("akeso resume --reason ...", "go on"),
        ("akeso undo ATTEMPT --reason ...", "take a change back"),
    ):
        screen.say(f"  .venv/bin/{command:<40}{meaning}")
    screen.say("Ctrl-C ends it", "dim")
