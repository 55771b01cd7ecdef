"""The product's image without Docker and without a registry, by its own Dockerfile: no second list of its steps.

buildah runs them; only what `FROM` would pull is replaced. This module must not write anything of the machine that
builds into an image: how pip reaches its index here is mounted over root's home while the steps run, and is gone with
them. Everything is kept below the one folder that is given; buildah works in a mount and process namespace that takes
its mounts and processes with it.

How the stand-in for `python:3.11-slim` differs from it: Python is Debian's 3.11.2 in /usr and not the newest 3.11 in
/usr/local (what is installed lands in dist-packages there); pip is 23.0.1; there is no apt. Alike are the names
`python`, `python3` and `pip`, a pip that installs and uninstalls itself, `venv`, ensurepip, and a library without byte
code.
"""

import ast
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.errors import UnavailableError

ROOT: Final = Path(__file__).parents[3]
IMAGE: Final = "docker.io/library/akeso:test"
PACKAGES: Final = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "unshare": "util-linux"}  # Debian's, by program

_BASE: Final = "localhost/python:3.11-slim"
_STAGE: Final = "localhost/akeso:build"
_DEBIAN: Final = "bookworm"  # the one whose Python is 3.11
_INSTALLED: Final = "python3.11,python3.11-venv,python3-wheel-whl,ca-certificates,netbase,tzdata"
_LEFT_OUT: Final = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*")
_STAND_IN: Final = r"""
FROM scratch
ADD debian.tar /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
RUN rm /usr/lib/python3.11/EXTERNALLY-MANAGED \
 && ln -s ../../bin/python3.11 /usr/local/bin/python && ln -s python /usr/local/bin/python3 \
 && cd /usr/share/python-wheels && PYTHONPATH=$(echo pip-*.whl) python -m pip install --no-cache-dir --no-index \
      --no-deps --no-compile --root-user-action ignore pip-*.whl setuptools-*.whl wheel-*.whl \
 && mv /usr/lib/python3.11/ensurepip /tmp \
 && dpkg --purge python3.11-venv python3-pip-whl python3-setuptools-whl python3-wheel-whl \
 && mv /tmp/ensurepip /usr/lib/python3.11 \
 && find /usr -name __pycache__ -prune -exec rm -r {} + \
 && rm -rf /etc/apt /var/lib/apt /var/cache/* /var/log/*
"""
_REACH: Final = (  # the options of pip that say how an index is reached, and no others
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "timeout", "default-timeout",
    "retries", "cert", "client-cert",
)  # fmt: skip
_FILES: Final = ("cert", "client-cert", "find-links")  # of these, those whose values may be paths
# Mounts and processes end with the shell. /var/lib is read-only in there, or buildah would leave a cache of its own.
_CONFINED: Final = """
mount --bind "$1" "$1" && mount --rbind /var/lib /var/lib && mount -o remount,bind,ro /var/lib && shift && exec "$@"
"""


def missing() -> list[str]:
    """What this machine lacks to build the image."""
    lacks = [] if sys.platform == "linux" and os.geteuid() == 0 else ["Linux and root"]
    return lacks + [f"Debian's {package}" for program, package in PACKAGES.items() if not shutil.which(program)]


def akeso_image(cache: Path, root: Path = ROOT) -> Path:
    """The image of the tree at `root`, as a docker archive that `ctr images import` takes.

    It is built anew only when what it is made of has changed; of one cache, only the last archive is kept. Raises
    UnavailableError (reason `image`) in one line when the machine lacks something or a step fails.
    """
    if lacks := missing():
        raise UnavailableError(f"no image can be built here: it needs {', '.join(lacks)}", reason="image")
    cache = cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        archive = cache / f"akeso-{_key(_context(root))}.tar"
        if not archive.exists():
            _stand_in(cache)
            _build(cache, archive, root)
            for old in set(cache.glob("akeso-*.tar")) - {archive}:
                old.unlink()
    return archive


def _context(root: Path) -> Iterator[bytes]:
    """What the image is made of: what `.dockerignore` lets through, and the two recipes."""
    yield _STAND_IN.encode()
    ignore = root / ".dockerignore"
    taken = [root / line[1:] for line in ignore.read_text().splitlines() if line.startswith("!")]
    for path in (root / "Dockerfile", ignore, *taken):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                yield f"{file.relative_to(root)} {file.stat().st_size}\n".encode()
                yield file.read_bytes()


def _key(parts: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:12]


def _build(cache: Path, archive: Path, root: Path) -> None:
    """Build into buildah's own store, whose layers make the next build short, and write the image out."""
    with _home(cache) as home:
        # The first stage under a name of its own, or its layers would be pruned.
        for more in (("--target", "build", "--tag", _STAGE), ("--tag", IMAGE)):
            _buildah(
                cache, "bud", "--isolation", "chroot", "--layers", "--pull-never", "--timestamp", "0",
                "--volume", f"{home}:/root:ro", "--build-arg", f"PYTHON={_BASE}", *more,
                "--file", str(root / "Dockerfile"), "--ignorefile", str(root / ".dockerignore"), str(root),
            )  # fmt: skip
    scratch = archive.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    _buildah(cache, "push", "--quiet", IMAGE, f"docker-archive:{scratch}:{IMAGE}")
    _buildah(cache, "rmi", "--prune", "--force")  # the layers of what no tag names any more
    scratch.rename(archive)


def _stand_in(cache: Path) -> None:
    """Make what stands in for the official image, once: it takes longest, and does not depend on the product."""
    made_of = cache / "store" / "stand-in"  # gone with what it speaks of
    wanted = _key(iter([_STAND_IN.encode(), _INSTALLED.encode(), " ".join(_LEFT_OUT).encode()]))
    if made_of.exists() and made_of.read_text() == wanted:
        return
    made_of.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="base-") as folder:
        left_out = [f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT]
        _confined(
            cache, "mmdebstrap", "--quiet", "--mode=root", "--variant=essential", "--skip=output/dev",
            f"--include={_INSTALLED}", *left_out,
            _DEBIAN, f"{folder}/debian.tar", *_sources(),
        )  # fmt: skip
        (Path(folder) / "Dockerfile").write_text(_STAND_IN)
        # Without layers it becomes one, in which nothing is left of what was removed.
        _buildah(cache, "bud", "--isolation", "chroot", "--layers=false", "--timestamp", "0", "--tag", _BASE, folder)
    made_of.write_text(wanted)


def _sources() -> list[str]:
    """Where this machine itself gets that Debian from."""
    shown = "$(CODENAME) deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    found = subprocess.run(
        ["apt-get", "indextargets", "--format", shown, "Created-By: Packages", "Origin: Debian"],
        capture_output=True, text=True, check=False,
    ).stdout.splitlines()  # fmt: skip
    lines = sorted({line.partition(" ")[2] for line in found if line.startswith(_DEBIAN)})
    if not lines:
        raise UnavailableError(f"apt has no lists of Debian {_DEBIAN} here: run apt-get update", reason="image")
    return lines


@contextmanager
def _home(cache: Path) -> Iterator[Path]:
    """A home for root in which pip finds its index as it does on this machine; gone after the build.

    Mounted over a folder that every image has, because a mount point made for it would stay in the image.
    """
    with tempfile.TemporaryDirectory(dir=cache, prefix="home-") as folder:
        home = Path(folder)
        config = RawConfigParser()
        config["global"] = {}
        for option, value in _pip():
            config["global"][option] = " ".join(_brought(word, home) if option in _FILES else word for word in value)
        (home / ".config" / "pip").mkdir(parents=True)
        with (home / ".config" / "pip" / "pip.conf").open("w") as file:
            config.write(file)
        yield home


def _pip() -> Iterator[tuple[str, list[str]]]:
    """The options by which pip reaches its index here, from its files and then from the environment, which wins."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    if bundle := os.environ.get("REQUESTS_CA_BUNDLE"):
        said.insert(0, f"global.cert={bundle!r}")
    for line in sorted(said, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in _REACH:
            yield option, str(ast.literal_eval(value)).split()


def _brought(word: str, home: Path) -> str:
    """The same file or folder of wheels where the steps find it; anything else as it is."""
    path = Path(word)
    if not path.is_absolute() or not path.exists():
        return word
    copy = home / hashlib.sha256(word.encode()).hexdigest()[:12]
    if not copy.exists():
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, copy)
    return f"/root/{copy.name}"


def _buildah(cache: Path, *arguments: str) -> None:
    # On a container's own overlay no second one can be mounted.
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(cache)], capture_output=True, text=True, check=True).stdout
    driver = "vfs" if kind.strip() == "overlayfs" else "overlay"
    store = ("--root", f"{cache}/store", "--runroot", f"{cache}/run", "--storage-driver", driver)
    _confined(cache, "buildah", *store, *arguments)


def _confined(cache: Path, *command: str) -> None:
    """Run one program that may leave things only below `cache`. Raises UnavailableError with its last words."""
    scratch = cache / "tmp"
    scratch.mkdir(exist_ok=True)
    confine = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", _CONFINED, "sh")
    done = subprocess.run(
        [*confine, str(cache), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", check=False, env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip
    if done.returncode:
        said = " | ".join(done.stdout.strip().splitlines()[-4:])
        raise UnavailableError(f"{command[0]} failed ({done.returncode}): {said[-600:]}", reason="image")
