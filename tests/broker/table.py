"""The rows of `answers.toml`: their Triggers, what is sent, what must have happened.

`python -m tests.broker.table BROKER http://HOST:PORT` prints the Triggers with which the rows can be played against a
real broker (see `test_answer_table`).
"""

import base64
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.broker.scripted import HTTP, Run, Subscriber

ERRORS = ("knativeerrordest", "knativeerrorcode", "knativeerrordata")
_NOWHERE = "http://127.0.0.1:9/"  # discard, served by nobody


class Row:
    """One case. `key` names it in paths, types and Triggers."""

    def __init__(self, key: str, spec: dict[str, Any]) -> None:
        self.key, self.spec = key, spec
        self.name = f"{spec['rule']} {spec['name']}" + (f" ({spec['status']})" if "status" in spec else "")
        self.functions: dict[str, Any] = spec["functions"]

    def type_of(self, function: str) -> str:
        return f"akeso.table.{self.key}.{function}"

    def path_of(self, function: str) -> str:
        return f"/{self.key}/{function}"

    def script(self) -> dict[str, list[dict[str, Any]]]:
        script = {}
        for name, answers in self.functions.items():
            if answers != "down":
                script[self.path_of(name)] = [
                    {**answer, **({"reply": self.type_of(answer["reply"])} if "reply" in answer else {})}
                    for answer in answers
                ]
        if "status" in self.spec:
            script[self.path_of(next(iter(self.functions)))][0]["status"] = self.spec["status"]
        if self.spec.get("delivery", {}).get("dls") == "fails":
            script[self.path_of("dls")] = [{"status": 500}]
        return script

    def delivery(self, spec: dict[str, Any], base: str) -> dict[str, Any]:
        """Knative's delivery block of the row's short form."""
        block: dict[str, Any] = {"retry": spec["retry"]} if "retry" in spec else {}
        if "backoff" in spec:
            block["backoffPolicy"], block["backoffDelay"] = spec["backoff"]
        if "timeout" in spec:
            block["timeout"] = spec["timeout"]
        if spec.get("dls", "none") != "none":
            uri = _NOWHERE if spec["dls"] == "down" else base + self.path_of("dls")
            block["deadLetterSink"] = {"uri": uri}
        return block

    def trigger_delivery(self, base: str) -> dict[str, Any] | None:
        trigger = self.spec.get("trigger")
        if trigger == "none":
            return None
        return self.delivery(trigger or {"retry": 3, "dls": "works", **self.spec.get("delivery", {})}, base)

    def broker(self, base: str) -> dict[str, Any]:
        own = self.spec.get("broker", {"retry": 0})
        spec = {} if own == "none" else {"delivery": self.delivery(own, base)}
        metadata = {"name": "default", "namespace": "default"}
        return {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": metadata, "spec": spec}

    def triggers(self, base: str, broker: str = "default") -> list[dict[str, Any]]:
        delivery = self.trigger_delivery(base)
        return [
            {
                "apiVersion": "eventing.knative.dev/v1",
                "kind": "Trigger",
                "metadata": {"name": f"{self.key}-{name}", "namespace": "default"},
                "spec": {
                    "broker": broker,
                    "filters": [{"exact": {"type": self.type_of(name)}}],
                    "subscriber": {"uri": _NOWHERE if answers == "down" else base + self.path_of(name)},
                    **({} if delivery is None else {"delivery": delivery}),
                },
            }
            for name, answers in self.functions.items()
            if name != "dls"
        ]

    def send(self, url: str) -> int | str:
        """The last sender's status, or "gone"."""
        spec = self.spec.get("send", {})
        first = next(iter(self.functions))
        attributes = {"specversion": "1.0", "id": "1", "source": "/table", "type": self.type_of(first)}
        attributes |= spec.get("attributes", {})
        for name in spec.get("omit", ()):
            del attributes[name]
        mode, data = spec.get("mode", "binary"), '{"a": 1}'
        if mode == "binary":
            headers = {"content-type": "application/json", **{f"ce-{key}": text for key, text in attributes.items()}}
        else:
            batch = "-batch" if mode == "batch" else ""
            headers = {"content-type": f"application/cloudevents{batch}+json"}
            data = json.dumps(attributes)[:-1] + f', "data": {data}}}'
            data = f"[{data}]" if batch else data
        headers |= spec.get("headers", {})
        target = str(httpx.URL(url).join(spec["path"])) if "path" in spec else url
        status: int | str = 0
        for _ in range(spec.get("times", 1)):
            try:
                status = HTTP.request(
                    spec.get("method", "POST"),
                    target,
                    headers=headers,
                    content=data.encode(),
                    timeout=spec.get("timeout_s", 60),
                ).status_code
            except httpx.TimeoutException:
                status = "gone"
        return status

    def check(self, subscriber: Subscriber, sender: int | str, ingress: str, speed: float) -> None:
        spec = self.spec
        runs = {name: subscriber.runs[self.path_of(name)] for name in (*self.functions, "dls")}
        assert sender == spec["sender"]
        assert {name: len(runs[name]) for name in spec["runs"]} == spec["runs"]
        assert sum(map(len, runs.values())) == sum(spec["runs"].values()), "a run that no row expects"
        for name, method in spec.get("methods", {}).items():
            assert runs[name][-1].method == method
        for name, body in spec.get("bodies", {}).items():
            assert runs[name][-1].body == body.encode()
        for name, headers in spec.get("carries", {}).items():
            assert {header: runs[name][-1].headers.get(header, "") for header in headers} == headers
        for run, later, wait in zip(*_pairs(runs), spec.get("waits", ()), strict=False):
            assert later.at - run.at >= wait / speed * 0.95
        if "error" in spec:
            self._check_dead_letter(runs["dls"][-1], spec, ingress, subscriber.url)

    def _check_dead_letter(self, dead: Run, spec: dict[str, Any], ingress: str, base: str) -> None:
        assert dead.headers["ce-type"] == self.type_of(spec.get("dead_of", next(iter(self.functions))))
        told = {name: dead.headers.get(f"ce-{name}") for name in ERRORS}
        if spec["error"] is False:
            assert told == dict.fromkeys(ERRORS)
            return
        code = spec["error"]["code"].format(status=spec.get("status"))
        assert told["knativeerrorcode"] == code
        text = base64.b64decode(told["knativeerrordata"] or "", validate=True).decode()
        assert text if spec["error"]["data"] == "*" else text == spec["error"]["data"]
        blamed = spec["error"]["dest"]
        if blamed == "ingress":
            assert ingress in told["knativeerrordest"]
        else:
            there = _NOWHERE if self.functions[blamed] == "down" else base + self.path_of(blamed)
            assert told["knativeerrordest"] == there


def _pairs(runs: dict[str, list[Run]]) -> tuple[list[Run], list[Run]]:
    first = next(iter(runs.values()))
    return first[:-1], first[1:]


def rows() -> list[Row]:
    table = tomllib.loads(Path(__file__).with_name("answers.toml").read_text())
    found = []
    for number, spec in enumerate(table["row"], 1):
        statuses = spec.pop("statuses", None)
        for status in statuses or [None]:
            suffix = "" if status is None else f"-{status}"
            key = f"{spec['rule'].lower()}-{number}{suffix}"
            found.append(Row(key, spec if status is None else {**spec, "status": status}))
    return found


if __name__ == "__main__":
    name, address = sys.argv[1:]
    triggers = [trigger for row in rows() if "local" not in row.spec for trigger in row.triggers(address, name)]
    yaml.safe_dump_all(triggers, sys.stdout)
