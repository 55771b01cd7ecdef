"""The whole product on one machine: Redis, an emulated cluster, the local broker, every function as a real process.

`akeso dev` shows it and the flow tests drive it. It only starts, connects and stops parts; what they do is theirs. It
must never be imported in a pod, and it never looks at `KUBECONFIG` or `~/.kube`.
"""

import contextlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx

from shared import clock
from shared.action import render
from shared.action.catalogue import Catalogue
from shared.action.render import Object
from shared.dev import redis as embedded_redis
from shared.dev.broker import Broker
from shared.dev.broker_event import Event
from shared.dev.cluster import Cluster
from shared.dev.cluster_rights import Granted
from shared.dev.processes import Functions, Service, from_manifests
from shared.dev.tickets import Ticket, TicketDesk
from shared.errors import UnavailableError
from shared.event.types import PING
from shared.guard import keys
from shared.people.who import AUDIENCE

TENANT, CLUSTER = "default", "dev"
PEOPLE = ("ada", "bo")  # two, because four eyes need them
TICK_S = 60.0
_ROOT = Path(__file__).parents[2]
_NO_LOGIN = Path("/nobody-logs-in-from-here")
_OURS = ("AKESO_ACTION", "AKESO_IMAGE", "THREADS")  # of a manifest's environment; addresses are this machine's


class World:
    """One installation in `folder`. All parts listen on free ports of loopback and end with this process.

    `kubeconfig` puts a real cluster in the place of the emulated one, `redis` a running server in the place of the
    embedded one. `home` is the namespace of the stop and policy ConfigMaps; with `accounts` each function that it names
    logs in by that kubeconfig, and the others have none. `people` are names and tokens of those whom that cluster knows
    for the audience `akeso`; the emulated one knows `PEOPLE`. `speed` is how fast clock time runs. `sync` makes the
    broker answer like the in-memory channel. `image` is what Jobs of the product's own run, where real nodes have it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        speed: float = 1.0,
        sync: bool = False,
        kubeconfig: Path | None = None,
        home: str = render.NAMESPACE,
        accounts: Callable[[list[Object]], dict[str, Path]] | None = None,
        redis: str = "",
        redis_binary: str | None = None,
        actions: Path | None = None,
        env: dict[str, str] | None = None,
        idle_s: float = 60.0,
        observer: Callable[[Event], None] | None = None,
        on_ticket: Callable[[Ticket], None] | None = None,
        watch: Callable[[str, str, float], None] | None = None,
        pinging: bool = True,
        people: dict[str, str] | None = None,
        image: str = "akeso:dev",
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for left in ("redis", "secrets", "failpoints", "logs", "people"):
            shutil.rmtree(folder / left, ignore_errors=True)
        (folder / "failpoints").mkdir()
        (folder / "clock.json").unlink(missing_ok=True)
        self.clock_file = folder / "clock.json"
        clock.simulate(self.clock_file, speed=speed)
        self._clock_before = os.environ.get("AKESO_CLOCK_FILE")
        os.environ["AKESO_CLOCK_FILE"] = str(self.clock_file)  # this process' parts live in the same time
        self._stack = contextlib.ExitStack()
        self._ended = threading.Event()
        self._pinging = pinging
        keys.write_dir(folder / "secrets")
        self._redis_url = redis
        self._redis_binary = redis_binary
        self.redis: embedded_redis.RedisServer | None = None
        self.cluster: Cluster | None = None
        self._kubeconfig, self.home = kubeconfig, home
        self.desk = TicketDesk(folder.parent / "tickets" if folder.name == "dev" else folder / "tickets",
                               token=self.secret("ticket-token"), on_change=on_ticket)  # fmt: skip
        self.catalogue = Catalogue(actions) if actions else Catalogue.home()
        objects = render.render(
            "dev", image=image, alertmanager="http://alertmanager:9093", redis_secret="redis",  # noqa: S106
            catalogue=self.catalogue, tenant=TENANT, cluster=CLUSTER,
        )  # fmt: skip
        routes = render.triggers_and_services(objects)
        self._role = next(one for one in objects if one["metadata"]["name"] == "akeso-people")
        self.people = {name: self._token_file(name, token) for name, token in (people or {}).items()}
        logins = accounts(list(routes.services)) if accounts else None
        self.services = [_at_home(service, logins) for service in from_manifests(routes.services)]
        self.env = {
            "PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "PYTHONPATH": str(_ROOT),
            "AKESO_DEV": "1", "AKESO_SECRETS_DIR": str(folder / "secrets"), "AKESO_CLOCK_FILE": str(self.clock_file),
            "AKESO_FAILPOINT": str(folder / "failpoints"), "AKESO_TICKETS__CHANNEL": "webhook",
            "AKESO_ALERTMANAGER__TENANT": TENANT, "AKESO_ALERTMANAGER__CLUSTER": CLUSTER,
            "AKESO_AUDIT_FILE": str(folder / "audit.jsonl"), "HOME": str(folder), "AKESO_KUBE__NAMESPACE": home,
        }  # fmt: skip
        if actions:
            self.env["AKESO_ACTIONS_DIR"] = str(actions)
        self.env |= env or {}
        self.functions = Functions(
            self.services, env=self.env, logs=folder / "logs", root=_ROOT, idle_s=idle_s, watch=watch
        )
        self.broker = Broker(
            routes.triggers, routes.broker, self.functions.resolve, sync=sync, speed=speed,
            concurrency={service.name: service.concurrency for service in self.services}, observer=observer,
            begin=self.functions.begin, end=self.functions.end,
        )  # fmt: skip

    # Addresses -------------------------------------------------------------------------------------------------------

    @property
    def webhook_url(self) -> str:
        return f"{self.broker.url}/services/intake/v1/alerts/{TENANT}/{CLUSTER}"

    @property
    def api_url(self) -> str:
        return f"{self.broker.url}/services/api"

    @property
    def redis_url(self) -> str:
        return self._redis_url or (self.redis.url if self.redis else "")

    @property
    def kubeconfig(self) -> Path:
        return self._kubeconfig or self.folder / "kubeconfig"

    def secret(self, name: str) -> str:
        path = self.folder / "secrets" / name
        return path.read_text().strip() if path.exists() else ""

    # Life ------------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the parts; functions start at their first event. Raises MalformedError or UnavailableError."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.functions.stop)
            if not self._redis_url:
                self.redis = embedded_redis.start(self.folder / "redis", binary=self._redis_binary)
                stack.callback(self.redis.stop)
            if self._kubeconfig is None:
                self.cluster = Cluster(token=secrets.token_hex(16))
                self.cluster.start()
                stack.callback(self.cluster.stop)
                self.cluster.kubeconfig(self.folder / "kubeconfig")
                self.cluster.namespace(self.home)
                for name in ("akeso-stop", "akeso-policy"):
                    self.cluster.configmap(self.home, name, {})
                may = [Granted("", rule) for rule in self._role["rules"]]  # as if bound in the whole cluster
                for name in PEOPLE:
                    token = self.cluster.rights.person(name, may, audience=AUDIENCE)
                    self.people[name] = self._token_file(name, token)
            self.desk.start()
            stack.callback(self.desk.stop)
            self.env |= {
                "AKESO_REDIS__URL": self.redis_url, "AKESO_KUBE__KUBECONFIG": str(self.kubeconfig),
                "K_SINK": self.broker.url, "AKESO_INTAKE": f"{self.broker.url}/services/intake",
                "AKESO_TICKETS__URL": self.desk.url,
            }  # fmt: skip
            self.broker.start()
            stack.callback(self.broker.stop)
            self._stack = stack.pop_all()
        self._until_hydrated()
        if self._pinging:
            threading.Thread(target=self._ping_each_minute, name="pings", daemon=True).start()
        return self

    def stop(self) -> None:
        self._ended.set()
        self._stack.close()
        os.environ.pop("AKESO_CLOCK_FILE", None)
        if self._clock_before is not None:
            os.environ["AKESO_CLOCK_FILE"] = self._clock_before

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Time ------------------------------------------------------------------------------------------------------------

    def tick(self) -> int:
        """One ping to the sweeper, as the PingSource sends it each minute; the sweeper's status."""
        headers = {
            "ce-specversion": "1.0", "ce-type": PING, "ce-source": "/apis/v1/namespaces/akeso-system/pingsources/sweep",
            "ce-id": secrets.token_hex(8), "content-type": "application/json",
        }  # fmt: skip
        try:
            return httpx.post(
                f"{self.broker.url}/services/sweeper/", headers=headers, content=b"{}", timeout=120, trust_env=False
            ).status_code
        except httpx.HTTPError:
            return 0

    def advance(self, seconds: float) -> None:
        """Let that much clock time pass at once for every part."""
        clock.simulate(self.clock_file, advance_ms=int(seconds * 1000))

    def pace(self, speed: float) -> None:
        """Let clock time run at another speed from now on."""
        clock.simulate(self.clock_file, speed=speed)

    def _ping_each_minute(self) -> None:
        while not self._ended.is_set():
            clock.sleep(TICK_S)
            if not self._ended.is_set():
                self.tick()

    def _until_hydrated(self) -> None:
        for _ in range(20):
            if self.tick() == 204:  # noqa: PLR2004
                return
            time.sleep(0.3)
        log = self.folder / "logs" / "sweeper.log"
        tail = log.read_text()[-600:] if log.exists() else "no log"
        raise UnavailableError(f"the sweeper does not get to work: {tail}", reason="dev-start")

    def _token_file(self, name: str, token: str) -> Path:
        file = self.folder / "people" / name
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(token)
        return file

    # What came of it -------------------------------------------------------------------------------------------------

    def api(self, method: str, path: str, body: dict[str, Any] | None = None, *, person: str = "") -> httpx.Response:
        """Ask the product's api as a person would: the first of `people`, or the one that is named."""
        known = self.people.get(person or next(iter(self.people), ""))
        token = known.read_text() if known else self.secret("api-token")
        headers = {"authorization": f"Bearer {token}"}
        url = f"{self.api_url}/{path.lstrip('/')}"
        return httpx.request(method, url, json=body, headers=headers, timeout=60, trust_env=False)

    def post(self, body: Any, *, raw: bytes | None = None) -> httpx.Response:
        """Send a webhook body as AlertManager would."""
        headers = {"authorization": f"Bearer {self.secret('webhook-token')}", "content-type": "application/json"}
        if raw is not None:
            return httpx.post(self.webhook_url, content=raw, headers=headers, timeout=60, trust_env=False)
        return httpx.post(self.webhook_url, json=body, headers=headers, timeout=60, trust_env=False)


def _at_home(service: Service, logins: dict[str, Path] | None) -> Service:
    env = {name: value for name, value in service.env.items() if name in _OURS}
    if logins is not None:
        env["AKESO_KUBE__KUBECONFIG"] = str(logins.get(service.name, _NO_LOGIN))
    return service.model_copy(update={"env": env})
