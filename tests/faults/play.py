"""What the fault tests may do to a world beyond a story: kill, hold, lose, forge, stop. `end` undoes all of it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

from shared import clock, settings
from shared.dev.world import CLUSTER, TENANT, World
from shared.event import codec, sign
from shared.event.types import full
from shared.guard import grant as token
from shared.model.grant import Grant
from shared.secrets import Secrets
from shared.state.client import Store
from shared.state.transitions import Cause, State
from tests.flows.harness import FEW, Scene, Sent

FAST = 20.0  # how many times faster than in life the broker's back-off runs: 63 s are 3
EXECUTOR = "executor-scale-deployment"
EXECUTORS = (EXECUTOR, "executor-restart-pod", "executor-notify-only")
DEAD = "http://127.0.0.1:9/"  # discard: nobody listens


class Play(Scene):
    """A story with faults. `end` puts the world right for the next one."""

    sweeps = False  # what it takes for nothing to be lost is its to say

    def __init__(self, world: World) -> None:
        super().__init__(world)
        if world.redis:
            # nothing here outlives the machine, and what a slow disk keeps back for two seconds a kill would lose
            self.redis.config_set("appendfsync", "no")
        self._fired: dict[str, Sent] = {}
        self._frozen: set[int] = set()
        self._moved: set[str] = set()
        home = settings.load({**world.env, "AKESO_REDIS__URL": world.redis_url})
        self.secrets = Secrets(home.secrets_dir)
        self.state = State(Store(home, self.secrets))

    def end(self) -> None:
        if not self.world.redis.alive:
            self.world.redis.restart()
        for pid in self._frozen:
            os.killpg(pid, signal.SIGCONT)
        for order in self._orders.iterdir():
            order.unlink()
        self.world.pace(1)
        self.world.broker._dispatcher._speed = FAST
        self.world.desk.up()
        self.cluster._faults.clear()
        self.cluster.store.__dict__.pop("patch", None)
        hooks = self.world.broker._hooks
        hooks._drops.clear()
        hooks._doubles.clear()
        hooks._disabled.clear()
        hooks._pointed.clear()
        if self.cluster.get("ConfigMap", "akeso-system", "akeso-stop")["data"].get("mode") != "run":
            self.stop("run")
        self.policy()
        self.until(lambda: self.tick() == 204)
        left = float(self.redis.hget("{akeso}:epoch", "embargo_until")) - clock.now_ms()
        if left > 0:
            self.world.advance(left / 1000 + 1)
        if self._fired:
            super().resolve(*self._fired.values())
        self.settle()
        self.redis.close()

    def send(self, body: Any) -> int:
        """One post: here the refusal is the story."""
        return self.post(body)

    def tick(self) -> int:
        """One tick, with its own answer."""
        status = self.world.tick()
        self.settle()
        return status

    # The executor ----------------------------------------------------------------------------------------------------

    @property
    def _orders(self) -> Path:
        return self.world.folder / "failpoints"

    def order(self, place: str, what: str = "kill") -> None:
        """What the next process that comes to that place does there."""
        draft = self._orders / f"{place}.draft"  # whoever comes there sees all of it or nothing
        draft.write_text(what)
        draft.rename(self._orders / place)

    def until_at(self, place: str) -> None:
        self.until(lambda: list(self._orders.glob(f"{place}.*.taken")), f"nobody came to {place}")

    def go_on(self, place: str) -> None:
        """Let whoever pauses there go on, now that what was to happen meanwhile has happened."""
        for taken in self._orders.glob(f"{place}.*.taken"):
            taken.unlink()

    def lead_nowhere(self, trigger: str) -> None:
        self.world.broker.point(trigger, DEAD)
        self.hurry_the_broker()

    def hurry_the_broker(self) -> None:
        """For stories in which it tries in vain, however long it pauses."""
        self.world.broker._dispatcher._speed = 20 * FAST

    def lose_everything_in_flight(self) -> None:
        """As if the broker's dispatcher had died: whatever it would have tried again is gone."""
        broker = self.world.broker
        broker._loop.call_soon_threadsafe(broker._crash)
        self.settle()

    def settle_fast(self) -> None:
        """Wait until the broker rests, while a dead run's lease ends before its last try."""
        self.world.pace(20)
        self.settle()
        self.world.pace(1)

    def freeze_executor(self, name: str = EXECUTOR) -> None:
        """What is sent to it waits, as during a cold start, until `thaw`."""
        httpx.get(f"{self.world.broker.url}/services/{name}/healthz", timeout=60, trust_env=False)
        self._frozen.add(self.world.functions.pids()[name])
        self.world.functions.kill(name, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._frozen:
            os.killpg(pid, signal.SIGCONT)
        self._frozen.clear()
        self.settle()

    def just_before_its_write(self, change: Callable[[], Any]) -> None:
        """Let somebody else be faster than the next patch of a Deployment that is already on its way."""
        store, real = self.cluster.store, self.cluster.store.patch

        def patch(key: Any, body: Any, *, manager: str, dry_run: bool = False, **more: Any) -> Any:
            if key[0] == "Deployment" and manager.startswith("akeso-") and not dry_run:
                del store.patch
                change()
            return real(key, body, manager=manager, dry_run=dry_run, **more)

        store.patch = patch

    # Alerts ----------------------------------------------------------------------------------------------------------

    def fire(self, *alerts: Sent, truncated: int = 0) -> int:
        self._fired |= {alert.fingerprint: alert for alert in alerts}
        return super().fire(*alerts, truncated=truncated)

    def resolve(self, *alerts: Sent, truncated: int = 0) -> int:
        for alert in alerts:
            self._fired.pop(alert.fingerprint, None)
        return super().resolve(*alerts, truncated=truncated)

    def ill(self, autonomy: str = "auto", **more: Any) -> tuple[str, Sent]:
        """A Deployment with one replica of three, and its alert, not sent yet."""
        namespace = self.namespace(autonomy)
        self.deployment(namespace, **more)
        return namespace, self.alert(namespace)

    def healed(self) -> tuple[str, Sent, str]:
        """A Deployment that was scaled from one to three: namespace, alert, attempt."""
        namespace, alert = self.ill()
        self.fire(alert)
        incident = self.until_word("succeeded", namespace)
        self.settle()
        return namespace, alert, self.attempts(incident)[-1]

    def until_approved(self, namespace: str) -> str:
        """Wait until the broker has the guard's grant; the incident's id."""
        incident = self.until_word("approved", namespace)
        self.until(lambda: self.seen("remediation.approved", incident))
        return incident

    # The people ------------------------------------------------------------------------------------------------------

    def stop(self, mode: str, *, told: bool = True) -> None:
        """Patch the ConfigMap as an operator would; `told`: the sweeper has seen it."""
        self.cluster.edit("ConfigMap", "akeso-system", "akeso-stop", {"data": {"mode": mode}})
        if told:
            self.tick()

    def policy(self, **values: Any) -> None:
        text = yaml.safe_dump({**FEW, **values})
        now = self.cluster.get("ConfigMap", "akeso-system", "akeso-policy")["data"]
        if now.get("policy.yaml", "") != text:
            self.cluster.edit("ConfigMap", "akeso-system", "akeso-policy", {"data": {"policy.yaml": text}})
            self.tick()

    def says(self, path: str, **more: Any) -> httpx.Response:
        """A person's word to the api; what it puts is published by the next tick at the latest."""
        answer = self.api("POST", f"v1/{path}", {"reason": "a test", **more})
        self.settle()
        return answer

    def undo(self, attempt: str) -> httpx.Response:
        return self.says("undo", attempt=attempt)

    def cause(self, name: str) -> Cause:
        return Cause("api", "/people", f"{self.number}-{name}", TENANT, CLUSTER)

    # Events ----------------------------------------------------------------------------------------------------------

    def seen(self, kind: str, incident: str = "") -> list[Any]:
        """Every event of that type that the broker has taken, of that incident."""
        return [
            event for event in tuple(self.world.events)  # the broker's thread goes on
            if event.type == full(kind) and (not incident or event.attributes.get("incidentid") == incident)
        ]  # fmt: skip

    def event(self, kind: str, incident: str) -> codec.Event:
        """The newest such event, as a function gets it."""
        return self.decoded(self.seen(kind, incident)[-1])

    def decoded(self, event: Any) -> codec.Event:
        return codec.decode(event.headers(), event.data)

    def signed(self, event: codec.Event) -> codec.Event:
        return sign.sign(event, self.secrets.required("event-hmac"))

    def to_broker(self, event: codec.Event) -> int:
        return self._send(self.world.broker.url, event)

    def to_function(self, service: str, event: codec.Event) -> int:
        """Past the broker, as whoever is in the cluster's network could."""
        return self._send(f"{self.world.broker.url}/services/{service}/", event)

    def raw(self, service: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        url = f"{self.world.broker.url}/services/{service}"
        return httpx.post(url, headers=headers, content=body, timeout=60, trust_env=False)

    def _send(self, url: str, event: codec.Event) -> int:
        headers, body = codec.encode(event)
        return httpx.post(url, headers=headers, content=body, timeout=60, trust_env=False).status_code

    def regranted(self, event: codec.Event, **changes: Any) -> codec.Event:
        """An approved event with a grant that differs, signed by the guard's own key."""
        grant = token.verify(event.data["grant"], [self.secrets.required("grant.pub")])
        signed = token.sign(grant.model_copy(update=changes), self.secrets.required("grant.key"))
        return self.with_data(event, grant=signed)

    def grant(self, event: codec.Event) -> Grant:
        return token.verify(event.data["grant"], [self.secrets.required("grant.pub")])

    def with_data(self, event: codec.Event, **data: Any) -> codec.Event:
        return codec.Event(
            event.type, event.source, event.id, event.time, event.subject, {**event.data, **data}, event.extensions
        )

    # What came of it -------------------------------------------------------------------------------------------------

    def attempts(self, incident: str) -> list[str]:
        return self.redis.lrange(f"{{akeso}}:{TENANT}:{CLUSTER}:attempts-of:{incident}", 0, -1)

    def attempt(self, attempt: str) -> dict[str, str]:
        return self.state.attempt(TENANT, CLUSTER, attempt)

    def lines(self, incident: str, word: str) -> list[dict[str, Any]]:
        return [line for line in self.audit(incident) if line["what"] == word]

    def spec_changes(self, namespace: str, name: str = "web") -> int:
        """How often the API server has seen the Deployment's spec or annotations change since it was made."""
        return int(self.cluster.get("Deployment", namespace, name)["metadata"]["generation"]) - 1

    def log(self, service: str) -> str:
        file = self.world.folder / "logs" / f"{service}.log"
        return file.read_text() if file.exists() else ""

    def reasons(self, incident: str) -> str:
        """All that its ticket has ever said."""
        return " | ".join(str(step) for ticket in self.tickets(incident) for step in ticket["history"])

    def tick_for(self, seconds: float, until: Callable[[], Any], *, step: float = 60) -> Any:
        """Let time pass in steps until it is true, or fail."""
        left = seconds
        while left > 0:
            if found := until():
                return found
            self.pass_(min(step, left), step=step)
            left -= step
        found = until()
        assert found, f"not within {seconds} s"
        return found
