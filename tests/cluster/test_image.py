"""The product's image, as its own Dockerfile makes it: what is in it, what is not, and each function in it. No cluster.

The image is built twice: once from this tree, and once from a copy that stands elsewhere, has other modes and times and
another configuration of pip, so that whatever the image takes from the machine that builds it is a difference.
"""

import contextlib
import hashlib
import importlib.util
import json
import mmap
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from shared.action.catalogue import Catalogue
from shared.action.render import render, triggers_and_services
from shared.errors import UnavailableError
from tests.cluster.api import until
from tests.cluster.rig import image as maker
from tests.cluster.rig import images
from tests.cluster.rootfs import USER, Image, files, running, unpack

pytestmark = pytest.mark.skipif(bool(maker.missing()), reason=f"no image here without {', '.join(maker.missing())}")

CANARY = "akeso-canary-5f3c.invalid"  # a name that only the second build's configuration of pip holds
SCRATCH = {"tmp", "var/tmp", "run/lock"}  # of the distribution; hidden or read-only in a pod
INSTALLERS = re.compile(r"(pip|setuptools|wheel|ensurepip|pkg_resources|_distutils_hack|easy_install)([-.0-9].*)?")
COMPILERS = re.compile(r"(.*-)?(gcc|g\+\+|cc|c\+\+|cpp|ld|as|make|clang|rustc|cargo|go|git)(-[0-9.]+)?")
NOT_FOR_PODS = re.compile(r"/usr/.*/python3\.11/(.*/)?(tests?|idlelib|lib2to3|tkinter|turtledemo)/")
COMPILED = re.compile(r"^# code object from (/\S+\.py)$", re.MULTILINE)


class Built(NamedTuple):
    """An archive, the tree that it was made of, the cache that it lies in, and what it holds."""

    archive: Path
    tree: Path
    cache: Path
    image: Image


def system_store() -> list[str]:
    """What other users of buildah and podman keep on this machine."""
    return sorted(map(str, Path("/var/lib/containers").rglob("*")))


BEFORE = system_store()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "akeso" / "image"
    archive = maker.akeso_image(cache)
    return Built(archive, maker.ROOT, cache, unpack(archive, tmp_path_factory.mktemp("image")))


@pytest.fixture(scope="module")
def again(built, tmp_path_factory) -> Iterator[Built]:
    """The same tree, elsewhere and otherwise configured. Only the stand-in for the official image is the same."""
    home = tmp_path_factory.mktemp("elsewhere")
    tree, cache = home / "tree", home / "cache"
    cache.mkdir()
    subprocess.run(["cp", "-a", built.cache / "store", cache], check=True)
    kept = shutil.ignore_patterns("__pycache__", ".venv", ".git", "build", ".*_cache", "tests")
    shutil.copytree(maker.ROOT, tree, ignore=kept, copy_function=shutil.copyfile)
    for path in tree.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_TRUSTED_HOST", CANARY)
        archive = maker.akeso_image(cache, tree)
    yield Built(archive, tree, cache, unpack(archive, home / "unpacked"))
    shutil.rmtree(home)


def services() -> list[dict]:
    objects = render(
        "base", image="akeso", alertmanager="http://alertmanager.invalid", redis_secret="r", catalogue=Catalogue.home()
    )
    return list(triggers_and_services(objects).services)


@pytest.fixture(scope="module", params=services(), ids=lambda service: service["metadata"]["name"])
def service(request) -> dict:
    return request.param


def started(built, folder, service, *, hidden=(), **env):
    """That function as its manifest starts it."""
    (container,) = service["spec"]["template"]["spec"]["containers"]
    given = {one["name"]: one.get("value", "redis://127.0.0.1:1/0") for one in container["env"]}
    return running(built.image, folder, [*container["command"], *container["args"]], given | env, hidden=hidden)


class TestTheBuild:
    def test_makes_one_image_that_runs_as_nobody(self, built):
        config = built.image.config["config"]
        assert config["User"] == f"{USER}:{USER}"
        assert config["Entrypoint"] == ["functions-framework"]
        assert "Volumes" not in config
        size = sum(layer.stat().st_size for layer in built.image.layers)
        print(f"{len(built.image.layers)} layers, {size / 1e6:.0f} MB")
        added = sum(not step.get("empty_layer") for step in built.image.config["history"])
        assert len(built.image.layers) == added

    def test_is_named_for_a_node(self, built):
        with subprocess.Popen(["tar", "-xOf", built.archive, "manifest.json"], stdout=subprocess.PIPE) as tar:
            (manifest,) = json.loads(tar.communicate()[0])
        assert manifest["RepoTags"][0] == maker.IMAGE

    def test_is_not_done_again_for_the_same_tree(self, built):
        before = built.archive.stat()
        assert maker.akeso_image(built.cache) == built.archive
        assert built.archive.stat().st_mtime_ns == before.st_mtime_ns

    @pytest.mark.parametrize("file", ["Dockerfile", "locks/runtime.txt", "shared/clock.py", "functions/guard/main.py",
                                      "knative/base/config.yaml", "pyproject.toml"])  # fmt: skip
    def test_is_done_again_for_another(self, again, file):
        def key():
            return maker._key(maker._context(again.tree))

        before, text = key(), (again.tree / file).read_text()
        (again.tree / file).write_text(text + "\n")
        after = key()
        (again.tree / file).write_text(text)
        assert before != after
        assert before == key()

    def test_gives_the_same_application_from_the_same_tree(self, built, again):
        assert content(built.image.root / "app") == content(again.image.root / "app")

    def test_leaves_nothing_mounted_or_running(self, again):
        assert str(again.cache) not in Path("/proc/self/mountinfo").read_text()
        assert [line for line in command_lines() if str(again.cache) in line] == []

    def test_leaves_its_cache_as_the_only_trace(self, again):
        assert list((again.cache / "tmp").iterdir()) == []
        assert {path.name for path in again.cache.iterdir()} == {"lock", "run", "store", "tmp", again.archive.name}
        assert system_store() == BEFORE

    def test_that_fails_says_so_in_one_line(self, again, tmp_path):
        tree = tmp_path / "tree"
        shutil.copytree(again.tree, tree)
        (tree / "Dockerfile").write_text("FROM localhost/python:3.11-slim\nRUN exit 7\n")
        with pytest.raises(UnavailableError, match="buildah failed") as refused:
            maker.akeso_image(again.cache, tree)
        assert "\n" not in str(refused.value)
        assert again.archive.exists()


class TestInTheImage:
    def test_nothing_is_left_that_installs_or_compiles(self, built):
        everything = list(files(built.image.root))
        programs = [path for path in everything if path.parent.name in {"bin", "sbin"}]
        assert [path for path in everything if INSTALLERS.fullmatch(path.name)] == []
        assert [path for path in programs if COMPILERS.fullmatch(path.name)] == []

    def test_no_lists_or_packages_of_apt_are_left(self, built):
        root = built.image.root
        for folder in ("var/lib/apt/lists", "var/cache/apt/archives"):
            assert not any(path.is_file() for path in (root / folder).rglob("*"))

    def test_no_program_changes_the_user(self, built):
        assert [path for path in files(built.image.root) if mode(path) & (stat.S_ISUID | stat.S_ISGID)
                and path.is_file()] == []  # fmt: skip

    def test_nothing_can_be_written_by_the_user_that_it_runs_as(self, built):
        root = built.image.root
        writable = {str(path.relative_to(root)) for path in files(root) if may_write(path)}
        assert writable - SCRATCH == set()

    def test_everything_can_be_read_by_the_user_that_it_runs_as(self, again):
        """Though the tree that it was made of could be read by its owner alone."""
        for path in files(again.image.root / "app"):
            assert mode(path) & 0o444 == 0o444, path

    @pytest.mark.parametrize("folder", ["app", "opt/akeso/lib", "usr/**/python3.11/os.py"])
    def test_every_source_has_byte_code_that_is_trusted_without_a_look_at_it(self, built, folder):
        """Python's own library, too, wherever the base has it."""
        (found,) = built.image.root.glob(folder)
        top = found.parent if found.is_file() else found
        sources = [path for path in files(top) if path.suffix == ".py" and not NOT_FOR_PODS.search(str(path))]
        assert sources
        for source in sources:
            cached = source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc"
            head = cached.read_bytes()[:16]
            assert int.from_bytes(head[4:8], "little") == 0b01, f"{source} is checked at each import"
            assert head[8:] == importlib.util.source_hash(source.read_bytes()), f"{source} is another one"

    def test_only_what_pods_run_is_there(self, built):
        app = built.image.root / "app"
        assert not (app / "shared" / "dev").exists()
        assert not (app / "shared" / "cli").exists()
        assert {path.name for path in (app / "functions").iterdir()} >= {"actions", "guard", "executor"}


class TestOfTheMachineThatBuilt:
    def test_the_second_build_really_had_another_configuration(self, tmp_path):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PIP_TRUSTED_HOST", CANARY)
            with maker._home(tmp_path) as home:
                assert CANARY in (home / ".config" / "pip" / "pip.conf").read_text()
        assert list(tmp_path.iterdir()) == []

    def test_no_host_path_or_configuration_is_in_any_layer(self, again):
        for needle in sorted(needles(again)):
            for part in (*again.image.layers, again.archive):
                assert not holds(part, needle), f"{needle!r} is in {part.name}"

    def test_a_needle_would_be_found(self, again):
        """`no-new-privs` stands in setpriv, which every image of Debian has: the search sees into a layer."""
        assert any(holds(layer, b"no-new-privs") for layer in again.image.layers)

    def test_no_file_configures_pip_or_holds_a_login(self, built, again):
        names = {"pip.conf", ".pypirc", ".netrc", "sources.list", ".git", ".env"}
        for one in (built, again):
            assert [path for path in files(one.image.root) if path.name in names or path.suffix == ".sources"] == []
            assert {path.name for path in (one.image.root / "root").iterdir()} <= {".bashrc", ".profile"}

    def test_no_certificate_but_the_distributions_is_trusted(self, again):
        root = again.image.root
        trusted = certificates((root / "etc/ssl/certs/ca-certificates.crt").read_text())
        packaged = {one for path in (root / "usr/share/ca-certificates").rglob("*.crt")
                    for one in certificates(path.read_text())}  # fmt: skip
        assert trusted
        assert trusted <= packaged


class TestAFunction:
    def test_starts_as_a_pod_would_without_compiling_or_writing(self, built, service, tmp_path):
        with started(built, tmp_path, service, PYTHONVERBOSE="1") as function:
            assert int(function.status("CapEff"), 16) == 0
            assert int(function.status("CapBnd"), 16) == 0
            assert function.status("NoNewPrivs") == "1"
            assert set(function.status("Uid").split()) == {str(USER)}
            assert list(function.tmp.iterdir()) == []
            log = function.log.read_text()
        assert "/app/shared/event/__pycache__/app.cpython-311.pyc" in log
        assert COMPILED.findall(log) == []

    def test_says_nothing_about_its_start(self, built, service, tmp_path):
        """Such as that it could not write somewhere."""
        with started(built, tmp_path, service) as function:
            assert function.log.read_text() == ""

    def test_ends_with_all_its_processes(self, built, tmp_path):
        (guard,) = (one for one in services() if one["metadata"]["name"] == "guard")
        with started(built, tmp_path, guard) as function:
            theirs = Path(f"/proc/{function.pid}/ns/pid").readlink()
            assert len(inside(theirs)) > 1  # the server and its worker
        until(lambda: not inside(theirs), "a process of it is left")

    def test_without_byte_code_would_be_seen_compiling(self, built, tmp_path):
        (guard,) = (one for one in services() if one["metadata"]["name"] == "guard")
        with started(built, tmp_path, guard, hidden=("/app/shared/event/__pycache__",), PYTHONVERBOSE="1") as function:
            compiled = COMPILED.findall(function.log.read_text())
        assert "/app/shared/event/app.py" in compiled


class TestPacking:
    def test_gives_an_image_of_files_folders_and_links(self, tmp_path):
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc" / "motd").write_text("hello")
        content = {"bin/tool": Path(sys.executable).resolve(), "bin/sh": "tool", "etc": tmp_path / "etc"}
        archive = images.pack(content, "node.test/tool:1", tmp_path / "tool.tar", "/bin/tool", "-V")
        same = images.pack(content, "node.test/tool:1", tmp_path / "same.tar", "/bin/tool", "-V")
        assert archive.read_bytes() == same.read_bytes()
        into = tmp_path / "into"
        into.mkdir()
        subprocess.run(["tar", "-xf", archive, "-C", into], check=True)
        (entry,) = json.loads((into / "index.json").read_text())["manifests"]
        assert entry["annotations"]["io.containerd.image.name"] == "node.test/tool:1"
        manifest = blob(into, entry)
        assert blob(into, manifest["config"])["config"]["Entrypoint"] == ["/bin/tool", "-V"]
        (layer,) = manifest["layers"]
        listed = subprocess.run(["tar", "-tf", path_of(into, layer)], capture_output=True, text=True, check=True)
        assert listed.stdout.split() == ["bin/sh", "bin/tool", "etc/", "etc/motd"]


def blob(folder, described):
    return json.loads(path_of(folder, described).read_text())


def path_of(folder, described):
    """The blob's file, whose name must be what it holds."""
    path = folder / "blobs" / described["digest"].replace(":", "/")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    return path


def mode(path: Path) -> int:
    return path.lstat().st_mode


def may_write(path: Path) -> bool:
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        return False
    return bool(about.st_mode & stat.S_IWOTH) or USER in {about.st_uid, about.st_gid}


def content(folder: Path) -> dict[str, tuple[int, str]]:
    """Mode and digest of each file by its path."""
    return {
        str(path.relative_to(folder)): (mode(path), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in files(folder)
        if path.is_file()
    }


def command_lines() -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            found.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def inside(namespace: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if (process / "ns" / "pid").readlink() == namespace:
                found.append(process.name)
    return found


def needles(built: Built) -> set[bytes]:
    """What belongs to the machine: where it builds, and how its pip and apt reach their indices."""
    said = {str(built.tree), str(built.cache), str(maker.ROOT), CANARY}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_TRUSTED_HOST", CANARY)
        options = dict(maker._pip())
    for option in ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "cert", "client-cert"):
        for word in options.get(option, []):
            parts = re.fullmatch(r"[a-z+]+://(?:([^@/]+)@)?([^/:]+).*", word)
            said |= {part for part in parts.groups() if part} if parts else {word}
    said |= {re.sub(r"^deb [a-z]+://([^/:]+).*", r"\1", line) for line in maker._sources()}
    return {word.encode() for word in said - USUAL}


USUAL = {"pypi.org", "deb.debian.org", "security.debian.org", "/etc/ssl/certs/ca-certificates.crt"}


def holds(file: Path, needle: bytes) -> bool:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(needle) >= 0


def certificates(text: str) -> set[str]:
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", text, re.DOTALL)
    return {"".join(block.split()) for block in blocks}
