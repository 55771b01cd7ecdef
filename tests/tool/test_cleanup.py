"""The cleaner on a real folder full of traps: what is not declared stays, and nothing leads it out of the volume."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from shared import clock
from shared.tool import cleanup
from shared.tool.cleanup import declared, run

ROOT = Path(__file__).parents[2]
DAY = 86_400
LATER = clock.now_ms() / 1000 + 30 * DAY  # to whom all that is made now is a month old
LOGS = {"path": "logs", "pattern": "*.log", "older_than": "7d", "at_most_mb": 100}
needs_a_user = pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")


def rules(*changes):
    return json.dumps([{**LOGS, **change} for change in changes or ({},)])


@pytest.fixture
def volume(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious.log").write_text("x")
    mount = tmp_path / "volume"
    (mount / "logs").mkdir(parents=True)
    return mount


def put(path, text="x" * 5000, *, age_days=30.0):
    """A file that is so old to whom it is `LATER`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (LATER - age_days * DAY,) * 2)
    return path


def clean(volume, *changes, dry_run=False):
    return run(str(volume), rules(*changes), dry_run=dry_run, now=LATER)


def names(volume):
    return sorted(str(one.relative_to(volume)) for one in volume.rglob("*") if not one.is_dir())


class TestWhatIsDeleted:
    def test_is_what_is_declared_and_old_and_below_the_path(self, volume):
        put(volume / "logs" / "old.log")
        put(volume / "logs" / "deep" / "er" / "old.log")
        put(volume / "logs" / "young.log", age_days=6.9)
        put(volume / "logs" / "old.txt")
        put(volume / "logs" / ".log.keep")
        put(volume / "data" / "old.log")
        put(volume / "old.log")

        said, well = clean(volume)

        assert names(volume) == ["data/old.log", "logs/.log.keep", "logs/old.txt", "logs/young.log", "old.log"]
        assert said.splitlines()[0].startswith("deleted 2 files, ")
        assert well

    def test_is_no_folder_even_an_empty_one(self, volume):
        (volume / "logs" / "empty.log").mkdir()

        clean(volume)

        assert (volume / "logs" / "empty.log").is_dir()

    def test_is_told_by_a_dry_run_that_deletes_nothing(self, volume):
        put(volume / "logs" / "old.log")

        said, well = clean(volume, dry_run=True)

        assert names(volume) == ["logs/old.log"]
        assert said.splitlines()[0].startswith("would delete 1 files, ")
        assert "logs/old.log" in said
        assert well

    def test_a_file_that_was_put_there_lately_is_young_whatever_its_time_says(self, volume):
        put(volume / "logs" / "old.log", age_days=90)

        run(str(volume), rules(), dry_run=False, now=clock.now_ms() / 1000)  # its change of place is seconds old

        assert names(volume) == ["logs/old.log"]

    def test_by_several_rules_is_each_rules_own(self, volume):
        put(volume / "logs" / "a.log")
        put(volume / "tmp" / "x" / "b.tmp")

        clean(volume, {}, {"path": "tmp/x", "pattern": "*.tmp"})

        assert names(volume) == []


class TestLimits:
    def test_of_size_are_kept(self, volume):
        for number in range(6):
            put(volume / "logs" / f"{number}.log", "x" * (300 << 10))

        clean(volume, {"at_most_mb": 1})

        kept = len(names(volume))
        assert kept == 3

    def test_of_size_spare_a_larger_file_and_not_the_smaller_ones(self, volume):
        put(volume / "logs" / "large.log", "x" * (2 << 20))
        put(volume / "logs" / "small.log")

        clean(volume, {"at_most_mb": 1})

        assert names(volume) == ["logs/large.log"]

    def test_of_number_are_kept_over_all_rules(self, volume, monkeypatch):
        monkeypatch.setattr(cleanup, "FILES", 5)
        for number in range(4):
            put(volume / "logs" / f"{number}.log")
            put(volume / "tmp" / f"{number}.log")

        clean(volume, {}, {"path": "tmp"})

        assert len(names(volume)) == 3

    def test_of_what_is_looked_at_end_a_huge_tree(self, volume, monkeypatch):
        monkeypatch.setattr(cleanup, "SEEN", 350)
        for number in range(300):
            put(volume / "logs" / f"d{number:03}" / "old.log")

        clean(volume)

        assert len(names(volume)) == 250  # 300 folders and 50 of their files were looked at

    def test_of_depth_end_a_deep_one(self, volume):
        deep = volume / "logs"
        for _ in range(cleanup.DEPTH + 2):
            deep /= "d"
        put(deep / "old.log")
        put(deep.parents[3] / "old.log")

        clean(volume)

        assert names(volume) == [str((deep / "old.log").relative_to(volume))]


class TestTraps:
    def test_a_link_to_a_file_stays_and_so_does_what_it_leads_to(self, volume):
        (volume / "logs" / "link.log").symlink_to("../../outside/precious.log")

        clean(volume)

        assert (volume / "logs" / "link.log").is_symlink()
        assert (volume.parent / "outside" / "precious.log").exists()

    def test_a_link_to_a_folder_is_not_followed(self, volume):
        (volume / "logs" / "out").symlink_to(volume.parent / "outside")
        (volume / "logs" / "up").symlink_to("..")

        said, well = clean(volume)

        assert (volume.parent / "outside" / "precious.log").exists()
        assert (said.splitlines(), well) == (["deleted 0 files, 0 bytes"], True)

    @pytest.mark.parametrize("path", ["logs", "logs/a"])
    def test_a_link_in_the_place_of_the_declared_path_is_not_followed(self, volume, path):
        (volume / "logs").rmdir()
        if path == "logs/a":
            (volume / "logs").symlink_to("../outside")
            (volume.parent / "outside" / "a").mkdir()
            put(volume.parent / "outside" / "a" / "old.log")
        else:
            (volume / "logs").symlink_to(volume.parent / "outside")
            os.utime(volume.parent / "outside" / "precious.log", (0, 0))

        said, well = clean(volume, {"path": path})

        assert (volume.parent / "outside" / "precious.log").exists()
        assert not (volume.parent / "outside" / "a").exists() or names(volume.parent / "outside" / "a") == ["old.log"]
        assert not well
        assert path in said

    def test_a_folder_that_becomes_a_link_meanwhile_is_not_entered(self, volume, monkeypatch):
        put(volume / "logs" / "sub" / "old.log")
        real = os.open

        def swapped(path, flags, *more, **named):
            if path == "sub":
                monkeypatch.setattr(os, "open", real)
                (volume / "logs" / "sub").rename(volume / "moved")
                (volume / "logs" / "sub").symlink_to(volume.parent / "outside")
            return real(path, flags, *more, **named)

        monkeypatch.setattr(os, "open", swapped)
        clean(volume)

        assert (volume.parent / "outside" / "precious.log").exists()
        assert (volume / "moved" / "old.log").exists()

    def test_a_hard_link_goes_and_what_it_shares_stays(self, volume):
        put(volume / "data" / "kept")
        os.link(volume / "data" / "kept", volume / "logs" / "same.log")

        said, _ = clean(volume)

        assert names(volume) == ["data/kept"]
        assert said.startswith("deleted 1 files, 0 bytes")

    def test_sockets_pipes_and_devices_stay(self, volume, tmp_path):
        os.mkfifo(volume / "logs" / "pipe.log")
        with socket.socket(socket.AF_UNIX) as there:
            here = Path.cwd()
            os.chdir(volume / "logs")  # a socket's path has to be short
            try:
                there.bind("sock.log")
            finally:
                os.chdir(here)
        assert tmp_path.exists()

        clean(volume)

        assert names(volume) == ["logs/pipe.log", "logs/sock.log"]

    @pytest.mark.parametrize("name", ["a\nb.log", "\x1b[31mred.log", b"\xff\xfe.log".decode(errors="surrogateescape"),
                                      "x" * 251 + ".log", "-rf.log", "*.log", " .log"])  # fmt: skip
    def test_odd_names_are_deleted_and_told_in_one_line(self, volume, name, capsys):
        put(volume / "logs" / name)

        said, well = clean(volume)

        assert names(volume) == []
        assert well
        assert len(said.splitlines()) == 2
        assert said.isprintable() or all(line.isprintable() for line in said.splitlines())
        assert "\x1b" not in capsys.readouterr().out

    def test_what_goes_meanwhile_is_no_failure_of_the_rest(self, volume, monkeypatch):
        put(volume / "logs" / "a.log")
        put(volume / "logs" / "b.log")
        real = os.unlink
        first = []

        def gone(path, **named):
            if not first:
                first.append(path)
                real(path, **named)
            real(path, **named)

        monkeypatch.setattr(os, "unlink", gone)
        said, well = clean(volume)

        assert names(volume) == []
        assert "1 entries could not be read or deleted" in said
        assert well

    @needs_a_user
    def test_a_folder_that_is_closed_to_us_is_told(self, volume):
        put(volume / "logs" / "closed" / "old.log")
        (volume / "logs" / "closed").chmod(0)
        said, well = clean(volume)
        (volume / "logs" / "closed").chmod(0o700)

        assert "1 entries could not be read or deleted" in said
        assert not well

    def test_a_path_that_is_not_there_is_told(self, volume):
        said, well = clean(volume, {"path": "cache"})

        assert "cache is not there" in said
        assert not well

    def test_the_message_is_bounded(self, volume):
        for number in range(100):
            put(volume / "logs" / f"{number:03}{'ü' * 120}.log", "x")

        said, _ = clean(volume)

        assert len(said.encode()) <= 4096
        assert names(volume) == []


class TestAnotherFileSystemInTheVolume:
    """As where one volume is mounted inside of another: really mounted, in a namespace that only the cleaner has."""

    AT_THE_PATH, BELOW, A_FILE = "logs", "logs/deep", "logs/one.log"

    RUN = (
        "import sys; from shared.tool.cleanup import run; "
        "print(run(sys.argv[1], sys.argv[2], dry_run=False, now=float(sys.argv[3]))[0])"
    )

    def _clean(self, volume, *, mount):
        """What the cleaner said, and what was left there afterwards."""
        for name in ("logs/old.log", "logs/deep/in.log", "logs/one.log"):
            put(volume / name)
        place = "../outside" if mount == self.A_FILE else mount
        script = [
            f"cd {volume}; mount -t tmpfs none {place}; touch {place}/in.log",
            f"mount --bind {place}/in.log {mount}" if mount == self.A_FILE else "",
            f"cd {ROOT}; {sys.executable} -c '{self.RUN}' {volume} '{rules()}' {LATER}",
            f"cd {volume}; find . -name '*.log' | sort",
        ]
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-ec", "\n".join(script)], capture_output=True, text=True, check=False
        )
        if done.stderr.startswith("unshare"):
            pytest.skip("no mount can be made here")
        assert not done.returncode, done.stderr
        lines = done.stdout.splitlines()
        return "\n".join(line for line in lines if line[0] != "."), [line for line in lines if line[0] == "."]

    def test_is_not_entered_at_the_declared_path(self, volume):
        said, left = self._clean(volume, mount=self.AT_THE_PATH)

        assert "another file system" in said
        assert left == ["./logs/in.log"]

    def test_is_not_entered_below_it(self, volume):
        said, left = self._clean(volume, mount=self.BELOW)

        assert "deleted 2 files" in said
        assert left == ["./logs/deep/in.log"]

    def test_is_not_reached_by_a_file_that_is_mounted_there(self, volume):
        said, left = self._clean(volume, mount=self.A_FILE)

        assert "deleted 2 files" in said
        assert left == ["./logs/one.log"]


class TestADeclaration:
    def test_is_read(self):
        (rule,) = declared(rules({"path": "cache/tmp", "older_than": "12h", "at_most_mb": 5}))

        assert rule == ("cache/tmp", "*.log", 12 * 3600, 5 << 20)

    @pytest.mark.parametrize("path", ["", "/", "/etc", "..", "../x", "a/../b", "a//b", "a/", ".", "./a", "a\x00b",
                                      "a\nb", None, 3, ["a"], "/".join("a" * 33)])  # fmt: skip
    def test_with_a_path_out_of_the_volume_or_the_whole_of_it_is_refused(self, path):
        with pytest.raises(ValueError, match="path is"):
            declared(rules({"path": path}))

    @pytest.mark.parametrize("pattern", ["", "*", "**", "?", "*?*", "a/b", "../*.log", "a\nb", None, 5])
    def test_with_a_pattern_for_everything_or_for_paths_is_refused(self, pattern):
        with pytest.raises(ValueError, match="pattern is"):
            declared(rules({"pattern": pattern}))

    @pytest.mark.parametrize("age", ["", "0d", "5m", "9m", "7", "7D", "-7d", "1e3d", "7 d", "٣d", "999999d", 7, None])
    def test_with_an_age_that_is_none_or_too_short_is_refused(self, age):
        with pytest.raises(ValueError, match="older_than"):
            declared(rules({"older_than": age}))

    @pytest.mark.parametrize("most", [0, -1, 1.5, "5", True, None, (1 << 20) + 1, 10**30])
    def test_with_a_size_that_is_none_is_refused(self, most):
        with pytest.raises(ValueError, match="at_most_mb"):
            declared(rules({"at_most_mb": most}))

    @pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", "[[]]", "null", "[" * 900, "[{}]", "NaN", "x" * 1025,
                                      json.dumps([LOGS | {"force": 1}]), json.dumps([{"path": "a"}] * 9)])  # fmt: skip
    def test_that_is_none_is_refused(self, text):
        with pytest.raises(ValueError, match=r"\w"):
            declared(text)


class TestTheProgram:
    def call(self, *words):
        command = [sys.executable, "-m", "shared.tool.cleanup", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    def test_needs_nothing_but_the_standard_library(self):
        code = "import sys, shared.tool.cleanup; print(sorted({n.partition('.')[0] for n in sys.modules}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

        assert not {"pydantic", "kubernetes", "redis", "flask", "yaml"} & set(eval(done.stdout))  # noqa: S307

    def test_says_what_it_has_done(self, volume):
        put(volume / "logs" / "old.log")

        done = self.call("--dry-run", str(volume), rules())

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1].startswith("would delete 0 files")  # made seconds ago

    @pytest.mark.parametrize("words", [("/nowhere", rules()), ("/tmp", "[]")])
    def test_fails_with_a_sentence(self, words):
        done = self.call(*words)

        assert done.returncode == 1
        assert done.stdout.startswith("nothing was deleted: ")
        assert "Traceback" not in done.stderr

    def test_leaves_its_message_where_the_pod_says(self, volume, tmp_path):
        told = tmp_path / "message"
        told.touch()

        assert cleanup.main(["--dry-run", str(volume), rules()], str(told)) == 0
        assert told.read_text() == "would delete 0 files, 0 bytes"
