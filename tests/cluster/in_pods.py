"""The whole product as real pods: its own image, accounts, security contexts and limits, in production mode.

Outside the cluster is only what a site brings along: Redis, the broker, the ticket system. Nothing is simulated, time
least of all, so a story takes as long as in life. It has the manners of `shared.dev.world.World` as far as a scene
needs them.
"""

import asyncio
import base64
import secrets
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from shared.action import render
from shared.action.catalogue import Catalogue
from shared.dev import redis as embedded
from shared.dev.broker import Broker
from shared.dev.tickets import TicketDesk
from shared.dev.world import CLUSTER, PEOPLE, TENANT
from shared.event.types import PING
from shared.guard import keys
from tests.cluster import install
from tests.cluster.api import Object, until
from tests.cluster.keeper import Keeper
from tests.cluster.pods import pods
from tests.cluster.real import RealCluster
from tests.cluster.rig import image, node, plane
from tests.cluster.rig.relay import Relay

_OK = 200
NODE = "n1"  # the one that gets the image, which is large


class InPods:
    """A context manager. `cluster` is where its manifests are installed already."""

    def __init__(self, keeper: Keeper, cluster: RealCluster, folder: Path) -> None:
        self.cluster, self.home, self.folder = cluster, cluster.home, folder
        self._keeper, self._api = keeper, keeper.api
        self._stack = ExitStack()
        self._ticket_token = secrets.token_hex(16)
        self._addresses: dict[str, str] = {}
        self.functions: list[Object] = []
        # A Service has no address for the moment in which a busy machine answers its pod's probes late.
        self._http = httpx.Client(transport=httpx.HTTPTransport(retries=5), timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._http)
            self.redis = embedded.start(self.folder / "redis", password=secrets.token_hex(8))
            stack.callback(self.redis.stop)
            self.redis_url = self.redis.url
            self._secrets()
            self.desk = TicketDesk(self.folder / "tickets", token=self._ticket_token)
            self.desk.start()
            stack.callback(self.desk.stop)
            objects = render.render(
                "base", image=image.IMAGE, alertmanager="http://alertmanager.monitoring:9093",
                redis_secret="akeso-redis", catalogue=Catalogue.home(), tenant=TENANT, cluster=CLUSTER,
            )  # fmt: skip
            routes = render.triggers_and_services(objects)
            limits = {one["metadata"]["name"]: one["spec"]["template"]["spec"]["containerConcurrency"]
                      for one in routes.services}  # fmt: skip
            self.broker = Broker(routes.triggers, routes.broker, self._resolve, sync=False, concurrency=limits)
            self.broker.start()
            stack.callback(self.broker.stop)
            self._apply_secrets(stack)
            self._person = self.cluster.person(PEOPLE[0])
            sink = self._reachable(stack, int(self.broker.url.rpartition(":")[2]))
            for one in install.renamed(pods(objects, image=image.IMAGE, sink=f"http://{sink}"), self.home):
                if one["kind"] == "Deployment":
                    (container,) = one["spec"]["template"]["spec"]["containers"]
                    container["env"].append({"name": "AKESO_KUBE__NAMESPACE", "value": self.home})  # it has moved
                    one["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": NODE}
                    self.functions.append(one)
                self._api.apply(install.path(one), one)
            for one in self.functions:
                self._ready(one["metadata"]["name"])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text().strip()

    # As a World -------------------------------------------------------------------------------------------------------

    def post(self, body: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.secret('webhook-token')}"}
        return self._http.post(f"{self.url('intake')}/v1/alerts/{TENANT}/{CLUSTER}", json=body, headers=headers)

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._person}"}
        return self._http.request(method, f"{self.url('api')}/{path}", json=body, headers=headers)

    def tick(self) -> int:
        headers = {
            "ce-specversion": "1.0", "ce-type": PING, "ce-source": "/pingsources/sweep", "ce-id": secrets.token_hex(8),
            "content-type": "application/json",
        }  # fmt: skip
        try:
            return self._http.post(self.url("sweeper"), headers=headers, content=b"{}").status_code
        except httpx.HTTPError:
            return 0

    def advance(self, seconds: float) -> None:
        """In production nobody moves the time."""
        time.sleep(seconds)

    # Parts ------------------------------------------------------------------------------------------------------------

    def url(self, function: str) -> str:
        """The address of that function's Service, which kube-proxy leads to its pod."""
        if function not in self._addresses:
            place = f"/api/v1/namespaces/{self.home}/services/{function}"
            self._addresses[function] = self._api.ok("GET", place)["spec"]["clusterIP"]
        return f"http://{self._addresses[function]}"

    def pods_of(self, function: str) -> list[Object]:
        deployment = self.cluster.get("Deployment", self.home, function)
        assert deployment is not None
        labels = deployment["spec"]["selector"]["matchLabels"]
        return self.cluster.all("Pod", self.home, ",".join(f"{key}={value}" for key, value in labels.items()))

    async def _resolve(self, name: str) -> str:
        return await asyncio.to_thread(self.url, name)

    def _ready(self, name: str) -> None:
        def ready() -> bool:
            try:  # by its Service: kube-proxy knows of a ready pod a moment later
                return httpx.get(f"{self.url(name)}/healthz", timeout=5, trust_env=False).status_code == _OK
            except httpx.HTTPError:
                return False

        try:
            until(ready, seconds=180)
        except AssertionError as error:
            states = [pod["status"].get("containerStatuses") or pod["status"] for pod in self.pods_of(name)]
            raise AssertionError(f"{name} does not get ready: {states}") from error

    def _reachable(self, stack: ExitStack, port: int) -> str:
        """`host:port` by which pods come to a port of this process' loopback."""
        relay = stack.enter_context(Relay(("127.0.0.1", port), host=plane.ADDRESS))
        return f"{relay.host}:{relay.port}"

    def _secrets(self) -> None:
        self.manifests = [yaml.safe_load(path.read_text())
                          for path in keys.write_manifests(self.folder / "manifests", self.home)]  # fmt: skip
        (self.folder / "secrets").mkdir(mode=0o700)
        for manifest in self.manifests:
            for name, value in manifest["data"].items():
                (self.folder / "secrets" / name).write_bytes(base64.b64decode(value))

    def _apply_secrets(self, stack: ExitStack) -> None:
        redis = self._reachable(stack, self.redis.port)
        desk = self._reachable(stack, self.desk.port)
        brought = {
            "akeso-redis": {"url": f"redis://{redis}/0", "password": self.redis.password},
            "akeso-tickets": {"url": f"http://{desk}/tickets", "token": self._ticket_token},
        }  # fmt: skip
        manifests = [*self.manifests]
        for name, values in brought.items():
            meta = {"name": name, "namespace": self.home}
            manifests.append({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values})
        for one in manifests:
            self._api.apply(f"/api/v1/namespaces/{self.home}/secrets/{one['metadata']['name']}", one)


def bring(folder: Path, archive: Path) -> float:
    """Let the node have the image; seconds that it took."""
    began = time.monotonic()
    command = node.ctr(folder, NODE, "images", "import", str(archive))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-400:]
    return time.monotonic() - began
