"""Commands that need no running installation, and what all of them promise."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shared.cli import COMMANDS, _out
from shared.dev import up

ROOT = Path(__file__).parents[2]
RENDER = ("--image", "registry.example/akeso:1", "--alertmanager", "http://am:9093", "--redis-secret", "redis")


def run(*args, **more):
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False, cwd=ROOT, **more)


class TestCommands:
    @pytest.mark.parametrize(
        "name", [*sorted(set(COMMANDS) - {"policy"}), "policy check", "policy test", "policy diff"]
    )
    def test_each_has_help_and_json(self, akeso, name):
        said = akeso(*name.split(), "--help")
        assert said.exit_code == 0
        assert "--json" in said.stdout

    def test_each_is_one_file(self):
        files = {path.stem for path in (ROOT / "shared" / "cli").glob("*.py") if not path.stem.startswith("_")}
        words = {name for name in files if name.partition("_")[0] in COMMANDS and "_" in name}  # of policy
        assert files - words == set(COMMANDS)

    @pytest.mark.parametrize("args", [["stats"], ["--colour"], ["status", "--jsn"], ["status", "extra"], ["run"]])
    def test_a_wrong_word_is_one_line(self, akeso, args):
        said = akeso(*args)
        assert said.exit_code == 2
        assert said.stderr

    def test_a_near_word_is_offered(self, akeso):
        assert "'status'" in akeso("stats").stderr

    def test_the_command_itself(self):
        said = run("-c", "from shared.cli import main; main()", "status", env={"PATH": "", "HOME": "/nowhere"})
        assert (said.returncode, said.stdout) == (3, "")
        assert said.stderr.count("\n") == 1

    def test_a_reader_that_has_enough_is_no_problem(self):
        line = f"{sys.executable} -c 'from shared.cli import main; main()' render {' '.join(RENDER)} | head -1"
        said = subprocess.run(["/bin/bash", "-o", "pipefail", "-c", line], capture_output=True, check=False, cwd=ROOT)
        assert (said.returncode, said.stderr) == (0, b"")

    def test_help_imports_nothing_heavy(self):
        code = (
            "import sys\nfrom shared.cli import app\n"
            "try: app(['--help'])\nexcept SystemExit: pass\n"
            "heavy = {'rich', 'httpx', 'pydantic', 'kubernetes', 'redis', 'flask', 'yaml', 'cryptography', 'aiohttp'}\n"
            "print(sorted(heavy & set(sys.modules)))"
        )
        assert run("-c", code).stdout.splitlines()[-1] == "[]"


class TestStatuses:
    @pytest.mark.parametrize("value", ["\x1b[31mred", "a\x00b", "\u202egrevlas", "\u2066x", "\x9b2J"])
    def test_nothing_that_moves_a_terminal_gets_through(self, value, capsys):
        _out.say(value)
        _out.table(["A"], [[value]])
        _out.diff([f"+ {value}"])
        shown = capsys.readouterr().out
        assert shown
        assert not set(shown) & set("\x1b\x00\u202e\u2066\x9b")

    def test_markup_in_a_name_stays_text(self, capsys):
        _out.table(["A"], [["[red]x[/red]"]])
        _out.diff(["+ [bold]y"])
        assert capsys.readouterr().out == "A\n[red]x[/red]\n+ [bold]y\n"

    def test_what_nobody_foresaw_is_one_line_too(self, capsys):
        assert _out.status_of(lambda: {}["x"]) == 70
        assert capsys.readouterr().err.startswith("akeso: unforeseen KeyError")


class TestActions:
    def test_all_are_listed(self, akeso):
        said = akeso("actions")
        assert [line.split()[0] for line in said.stdout.splitlines()[1:]] == sorted(
            path.stem for path in (ROOT / "functions" / "actions").glob("[a-z]*.py")
        )

    def test_one_more_file_is_one_more_action(self, akeso, tmp_path, monkeypatch):
        folder = tmp_path / "actions"
        shutil.copytree(ROOT / "functions" / "actions", folder)
        shutil.copy(ROOT / "tests" / "fixtures" / "action28.py", folder)
        monkeypatch.setenv("AKESO_ACTIONS_DIR", str(folder))
        assert "action28" in {one["name"] for one in json.loads(akeso("actions", "--json").stdout)["actions"]}
        objects = json.loads(akeso("render", *RENDER, "--json").stdout)["objects"]
        assert "executor-action28" in {one["metadata"]["name"] for one in objects if one["kind"] == "Trigger"}


class TestRender:
    @pytest.mark.parametrize("overlay", [[], ["dev"]])
    def test_stdout_is_the_installation_for_kubectl(self, akeso, overlay):
        said = akeso("render", *overlay, *RENDER)
        assert said.exit_code == 0
        kinds = {one["kind"] for one in yaml.safe_load_all(said.stdout)}
        assert {"Namespace", "Broker", "Trigger", "Service", "SinkBinding"} <= kinds

    def test_the_receiver_follows_as_comments_and_alone_as_itself(self, akeso):
        alone = akeso("render", *RENDER, "--receiver", "--cluster", "east").stdout
        hook = yaml.safe_load(alone)["receivers"][0]["webhook_configs"][0]
        assert hook["url"].endswith("/v1/alerts/default/east")
        tail = akeso("render", *RENDER, "--cluster", "east").stdout.splitlines()[-len(alone.splitlines()) :]
        assert [line.removeprefix("# ") for line in tail] == alone.splitlines()

    @pytest.mark.parametrize(
        "args",
        [
            [],
            ["moon", *RENDER],
            [*RENDER[:2]],
            ["--image", "a b", *RENDER[2:]],
            ["--image", "x", "--alertmanager", "am:9093", "--redis-secret", "redis"],
            [*RENDER, "--cluster", "East Coast"],
        ],
    )
    def test_bad_input(self, akeso, args):
        assert akeso("render", *args).exit_code == 2


class TestKeys:
    def test_manifests_for_a_cluster(self, akeso, tmp_path):
        said = akeso("keys", tmp_path / "keys")
        assert said.exit_code == 0
        made = sorted((tmp_path / "keys").iterdir())
        assert all(yaml.safe_load(path.read_text())["kind"] == "Secret" for path in made)
        assert [Path(line).name for line in said.stdout.splitlines()[:-1]] != []

    def test_plain_files_for_one_machine(self, akeso, tmp_path):
        written = json.loads(akeso("keys", tmp_path / "keys", "--plain", "--json").stdout)["written"]
        assert {"event-hmac", "grant.key", "api-token"} <= {Path(name).name for name in written}

    def test_nothing_is_overwritten(self, akeso, tmp_path):
        assert [akeso("keys", tmp_path / "keys").exit_code for _ in range(2)] == [0, 2]

    def test_no_secret_is_shown(self, akeso, tmp_path):
        said = akeso("keys", tmp_path / "keys", "--plain")
        assert (tmp_path / "keys" / "api-token").read_text() not in said.output


class TestDev:
    """Its flags alone; what they do is shown by the flow tests."""

    @pytest.fixture
    def served(self, monkeypatch):
        given = []

        def serve(options, **more):
            given.append((options, more))
            return 1

        monkeypatch.setattr(up, "serve", serve)
        return given

    def test_without_flags(self, akeso, served):
        assert akeso("dev").exit_code == 1
        assert served == [(up.Options(), {})]

    def test_every_flag(self, akeso, served, tmp_path):
        config = tmp_path / "kubeconfig"
        config.write_text("")
        akeso(
            "dev", "--once", "--quiet", "--sync", "--ready-file", tmp_path / "r", "--kubeconfig", config,
            "--redis", "redis://x", "--speed", "2.5", "--folder", tmp_path,
        )  # fmt: skip
        assert served[0][0] == up.Options(
            once=True, quiet=True, sync=True, ready_file=tmp_path / "r", kubeconfig=config, redis="redis://x",
            speed=2.5, folder=tmp_path,
        )  # fmt: skip

    def test_json_is_the_ready_file(self, akeso, served, tmp_path, capsys):
        akeso("dev", "--json", "--ready-file", tmp_path / "r")
        options, more = served[0]
        assert options.quiet is True
        (tmp_path / "r").write_text('{"pid": 7}')
        more["prepare"](None, None)
        assert json.loads(capsys.readouterr().out) == {"pid": 7}

    @pytest.mark.parametrize(
        "args", [["--speed", "0"], ["--speed", "fast"], ["--kubeconfig", "/nowhere/config"], ["--twice"]]
    )
    def test_bad_input(self, akeso, served, args):
        assert akeso("dev", *args).exit_code == 2
        assert served == []
