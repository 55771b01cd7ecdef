import json

import pytest
from typer.testing import CliRunner

from shared.cli import app
from tests.cli.serving import serving
from tests.people.installed import redis, world

__all__ = ["redis", "world"]


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No installation of this machine is ever found by accident."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    for name in ("AKESO_API", "AKESO_TOKEN_FILE", "AKESO_READY_FILE", "AKESO_ACTIONS_DIR", "AKESO_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def akeso():
    """Type a command: exit status, stdout, stderr. A problem is one line, and never a traceback."""

    def typed(*args, stdin=None):
        result = CliRunner().invoke(app, list(map(str, args)), input=stdin)
        assert "Traceback" not in result.output
        assert isinstance(result.exception, SystemExit | None)
        if result.exit_code not in (0, 1):
            assert result.stdout == ""
        if result.stderr:
            assert result.stderr.startswith("akeso: ")
            assert result.stderr.count("\n") == 1
        return result

    return typed


@pytest.fixture
def ready(world, tmp_path, monkeypatch):
    """A running installation, found by its ready file: api and intake for real, events go to the world's sink."""
    monkeypatch.delenv("AKESO_SECRETS_DIR")
    file = tmp_path / "ready.json"
    with serving("api", "intake") as base:
        found = {
            "webhook_url": f"{base}/services/intake/v1/alerts/default/default",
            "api_url": f"{base}/services/api",
            "broker_url": base,
            "redis_url": world.redis.url,
            "kubeconfig": "",
            "pid": 1,
            "secrets": str(world.folder),
            "token_file": str(tmp_path / "person"),
        }
        (tmp_path / "person").write_text(world.person("ada"))
        file.write_text(json.dumps(found))
        monkeypatch.setenv("AKESO_READY_FILE", str(file))
        monkeypatch.setenv("AKESO_SECRETS_DIR", str(world.folder))
        yield found
