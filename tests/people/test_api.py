"""Who may ask, and what bad questions are told: a clear answer each, and never a traceback."""

import asyncio
import json
import os
from pathlib import Path

import httpx
import pytest

from shared.dev.processes import Functions, Service
from shared.errors import ForbiddenError, UnavailableError
from shared.event.here import Here

ROOT = Path(__file__).parents[2]
STOP = {"mode": "stop", "reason": "why", "by": "ada"}
RUN = {
    "action": "scale_deployment",
    "target": {"kind": "Deployment", "namespace": "shop", "name": "checkout"},
    "params": {"replicas": 2},
    "by": "ada",
}
UNDO = {"attempt": "grant-" + "0" * 20, "reason": "why", "by": "ada"}
HOLD = {"reason": "why", "by": "ada"}

BAD = [
    ("v1/stop", b"", "not-json"),
    ("v1/stop", b'{"mode": "stop", ', "not-json"),
    ("v1/stop", b"[" * 30_000, "not-json"),
    ("v1/stop", b"\xff\xfe", "not-json"),
    ("v1/stop", b"null", "ask"),
    ("v1/stop", b"[]", "ask"),
    ("v1/stop", {**STOP, "mode": "pause"}, "ask"),
    ("v1/stop", {**STOP, "reason": ""}, "ask"),
    ("v1/stop", {**STOP, "reason": "   "}, "ask"),
    ("v1/stop", {**STOP, "reason": "two\nlines"}, "ask"),
    ("v1/stop", {**STOP, "reason": "x" * 301}, "ask"),
    ("v1/stop", {**STOP, "by": ""}, "ask"),
    ("v1/stop", {**STOP, "by": "\x1b[31mroot"}, "ask"),
    ("v1/stop", {**STOP, "by": "\u202egrevlas"}, "ask"),
    ("v1/stop", {**STOP, "until": "tomorrow"}, "ask"),
    ("v1/stop", {"mode": "run", "by": "ada"}, "ask"),
    ("v1/holds/inc-1/approve", {"by": "ada"}, "ask"),
    ("v1/holds/inc-1/deny", {**HOLD, "hold": "hold-*"}, "ask"),
    ("v1/undo", {**UNDO, "attempt": "grant-*"}, "ask"),
    ("v1/undo", {**UNDO, "attempt": 7}, "ask"),
    ("v1/run", {**RUN, "dry_run": "false"}, "ask"),
    ("v1/run", {**RUN, "dry_run": 0}, "ask"),
    ("v1/run", {**RUN, "action": "rm -rf"}, "ask"),
    ("v1/run", {**RUN, "action": "../../etc/passwd"}, "ask"),
    ("v1/run", {**RUN, "action": "no_such_action"}, "unknown-action"),
    ("v1/run", {**RUN, "params": {"replicas": 0}}, "params"),
    ("v1/run", {**RUN, "params": {"replicas": "many"}}, "params"),
    ("v1/run", {**RUN, "params": {"replicas": True}}, "params"),
    ("v1/run", {**RUN, "params": {"replicas": "NaN"}}, "params"),
    ("v1/run", {**RUN, "params": {"replicas": 1e300}}, "params"),
    ("v1/run", {**RUN, "params": {"replicas": 10**30}}, "params"),
    ("v1/run", {**RUN, "params": {"replicas": 2, "force": True}}, "params"),
    ("v1/run", {**RUN, "params": {}}, "params"),
    ("v1/run", {**RUN, "target": {"kind": "Secret", "namespace": "shop", "name": "x"}}, "target"),
    ("v1/run", {**RUN, "target": {"kind": "Deployment", "namespace": "shop", "name": "../x"}}, "target"),
    ("v1/run", {**RUN, "target": {"kind": "Deployment", "name": "checkout"}}, "target"),
    ("v1/run", b'{"action": "scale_deployment", "params": {"replicas": NaN}}', "not-json"),
    ("v1/explain", b"{}", "version"),
    ("v1/explain", b'{"version": "4"}', "wrong-type"),
    ("v1/explain", b"not json", "not-json"),
]


class TestBadInput:
    @pytest.mark.parametrize(("path", "body", "reason"), BAD, ids=range(len(BAD)))
    def test_is_answered_400_with_its_reason_and_moves_nothing(self, world, path, body, reason):
        before = world.keys()
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, said = world.ask("POST", path, raw=raw)
        assert (status, said["error"]) == (400, reason)
        assert 0 < len(said["text"]) <= 300
        assert said["text"].isprintable()
        assert world.keys() == before
        assert world.cluster.writes() == []

    @pytest.mark.parametrize(
        "path", ["", "v2/status", "v1", "v1/incidents/a b", "v1/incidents/*", "v1/incidents/a/b", "v1/holds/x/maybe",
                 "v1/incidents/Default/dev/x", "v1/incidents/" + "x" * 81, "v1/status/"],
    )  # fmt: skip
    def test_an_unknown_path_is_404(self, world, path):
        assert world.ask("GET", path)[0] == 404

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "v1/stop"), ("POST", "v1/status"), ("DELETE", "v1/incidents"), ("PUT", "v1/run"),
                             ("GET", "v1/holds/x/approve"), ("POST", "metrics")],
    )  # fmt: skip
    def test_another_method_is_405(self, world, method, path):
        assert world.ask(method, path)[0] == 405


class TestToken:
    @pytest.mark.parametrize("path", ["v1/status", "v1/incidents", "metrics", "v1/actions", "no/such/path"])
    @pytest.mark.parametrize("token", ["wrong", "", "é"])
    def test_without_the_right_one_nothing_is_said(self, world, path, token):
        with pytest.raises(ForbiddenError):
            world.ask("GET", path, token=token)

    def test_a_new_one_counts_at_once(self, world):
        old = (world.folder / "api-token").read_text()
        assert world.ask("GET", "v1/status", token=old)[0] == 200
        (world.folder / "api-token").write_text("another")
        os.utime(world.folder / "api-token", ns=(1, 1))
        with pytest.raises(ForbiddenError):
            world.ask("GET", "v1/status", token=old)
        assert world.ask("GET", "v1/status", token="another")[0] == 200

    def test_on_one_machine_it_may_be_missing(self, world):
        (world.folder / "api-token").unlink()
        assert world.ask("GET", "v1/status", token="")[0] == 200

    def test_in_production_it_may_not(self, world, monkeypatch):
        (world.folder / "api-token").unlink()
        monkeypatch.delenv("AKESO_DEV")
        world.here = Here("api")
        with pytest.raises(UnavailableError) as refused:
            world.ask("GET", "v1/status", token="")
        assert refused.value.reason == "secret-missing"


class TestActions:
    def test_all_are_listed_with_their_schema(self, world):
        listed = {action["name"]: action for action in world.ok("GET", "v1/actions")["actions"]}
        assert {"scale_deployment", "restart_pod", "notify_only"} <= listed.keys()
        assert listed["scale_deployment"]["params"]["properties"]["replicas"]["anyOf"][0]["maximum"] == 100


class TestOverHttp:
    """One real functions-framework process."""

    @pytest.fixture
    def url(self, world, tmp_path):
        env = {**world.env, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
        service = Service(name="api", function="api", concurrency=4)
        with Functions([service], env=env, logs=tmp_path / "logs", root=ROOT) as functions:
            yield asyncio.run(functions.resolve("api"))

    def test_it_answers_by_the_table(self, world, url):
        good = {"authorization": f"Bearer {(world.folder / 'api-token').read_text()}"}
        with httpx.Client(base_url=url, trust_env=False, headers=good) as http:
            status = http.get("/v1/status")
            assert (status.status_code, status.json()["mode"]) == (200, "run")
            assert status.headers["content-type"] == "application/json"
            page = http.get("/metrics")
            assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
            assert http.get("/v1/status", headers={"authorization": "Bearer no"}).status_code == 403
            assert http.post("/v1/stop", content=b"x" * 70_000).status_code == 413
            assert http.post("/v1/stop", content=b"x").status_code == 400
            assert http.get("/nowhere").status_code == 404
            world.redis.stop()
            try:
                gone = http.get("/v1/status")
                assert (gone.status_code, gone.json()) == (503, {"error": "redis"})
            finally:
                world.redis.restart()
