"""What only a test of a cluster of our own may do: end its programs, lose its nodes, read what its API server noted."""

import json
from pathlib import Path
from typing import Any

import urllib3

from tests.cluster.api import Api, until
from tests.cluster.rig.machine import command

_READS = {"get", "list", "watch"}
_ACCOUNT = '"username":"system:serviceaccount:'
_CONTROLLER = f"{_ACCOUNT}kube-system:"


class Keeper:
    """`folder` is the cluster's, see `tests.cluster.rig.machine`."""

    def __init__(self, folder: Path, api: Api) -> None:
        self.folder, self.api = folder, api
        self._stopped: set[str] = set()
        self._noted: list[str] = []  # lines about somebody's account, which is few of all
        self._read_to = 0

    def stop(self, part: str) -> None:
        command(self.folder, "stop", part)
        self._stopped.add(part)

    def start(self, part: str) -> None:
        """Start it again; an API server answers when this returns."""
        command(self.folder, "start", part)
        self._stopped.discard(part)
        if part == "apiserver":
            until(self._answers, "the API server does not come back")

    def ensure(self, part: str) -> None:
        """Start it again if it is stopped."""
        if part in self._stopped:
            self.start(part)

    def _answers(self) -> bool:
        try:
            return self.api("GET", "/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def audited(self, home: str, namespace: str = "") -> list[dict[str, Any]]:
        """What the API server noted of the accounts in `home`, oldest first; only about that namespace, if given."""
        self._read_on()
        found = [json.loads(line) for line in self._noted if f"system:serviceaccount:{home}:" in line]
        return [one for one in found if not namespace or (one.get("objectRef") or {}).get("namespace") == namespace]

    def _read_on(self) -> None:
        """From where the last one has stopped: stories ask again and again, and the log of a whole tier is long."""
        with (self.folder / "audit.log").open("rb") as log:
            log.seek(self._read_to)
            whole, newline, _ = log.read().rpartition(b"\n")  # the last line may not be written to its end
        self._read_to += len(whole) + len(newline)
        lines = whole.decode().splitlines()
        self._noted += [line for line in lines if _ACCOUNT in line and _CONTROLLER not in line]

    def effects(self, home: str, namespace: str) -> list[str]:
        """Each write of ours that the API server let through, as `<verb> <resource>[/<subresource>] <account>`.

        An Event changes nothing, and is none.
        """
        return [
            f"{one['verb']} {_resource(one['objectRef'])} {one['user']['username'].rpartition(':')[2]}"
            for one in self.audited(home, namespace)
            if one["verb"] not in _READS
            and one["responseStatus"].get("code", 0) < 300
            and "dryRun=All" not in one["requestURI"]
            and one["objectRef"]["resource"] != "events"
        ]


def _resource(ref: dict[str, str]) -> str:
    return "/".join(part for part in (ref["resource"], ref.get("subresource", "")) if part)
