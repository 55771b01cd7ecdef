import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from shared.errors import MalformedError
from shared.guard import keys
from shared.secrets import Secrets

NAMES = {"event-hmac", "grant.key", "grant.pub", "audit.key", "audit.pub", "webhook-token", "api-token"}
WRITERS = [keys.write_dir, keys.write_manifests, keys.make]

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def everything_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]


class TestWhatIsMade:
    def test_the_files_that_functions_look_for(self):
        assert set(keys.make()) == NAMES

    @pytest.mark.parametrize("name", ["grant", "audit"])
    def test_pairs_are_ed25519_and_belong_together(self, name):
        made = keys.make()
        private = load_pem_private_key(made[f"{name}.key"], password=None)
        public = load_pem_public_key(made[f"{name}.pub"])
        assert isinstance(private, Ed25519PrivateKey)
        assert isinstance(public, Ed25519PublicKey)
        public.verify(private.sign(b"x"), b"x")

    def test_secrets_are_long_and_survive_a_header(self):
        made = keys.make()
        assert len(bytes.fromhex(made["event-hmac"].decode())) == 32
        for token in ("webhook-token", "api-token"):
            assert len(made[token]) >= 43
            assert made[token].decode().isascii()
            assert made[token].strip() == made[token]

    def test_nothing_is_ever_made_twice(self):
        one, other = keys.make(), keys.make()
        assert not set(one.values()) & set(other.values())
        assert len(set(one.values())) == len(NAMES)


class TestPlainFiles:
    def test_only_the_owner_can_read_them(self, tmp_path):
        old = os.umask(0)
        try:
            written = keys.write_dir(tmp_path / "keys")
        finally:
            os.umask(old)
        assert {path.name for path in written} == NAMES
        assert mode(tmp_path / "keys") == 0o700
        assert {mode(path) for path in written} == {0o600}

    def test_functions_read_back_what_was_made(self, tmp_path):
        made = keys.make(tmp_path / "keys")
        read = Secrets(tmp_path / "keys")
        assert {name: read.required(name) for name in NAMES} == {
            name: key.removesuffix(b"\n") for name, key in made.items()
        }


class TestManifests:
    def test_one_secret_per_key_in_the_namespace(self, tmp_path):
        written = keys.write_manifests(tmp_path / "keys", "elsewhere")
        secrets = [yaml.safe_load(path.read_text()) for path in written]
        assert {next(iter(secret["data"])) for secret in secrets} == NAMES
        for path, secret in zip(written, secrets, strict=True):
            assert secret["kind"] == "Secret"
            assert secret["metadata"]["namespace"] == "elsewhere"
            assert path.name == secret["metadata"]["name"] + ".yaml"
            assert len(secret["data"]) == 1
        assert {mode(path) for path in written} == {0o600}

    def test_pem_survives_the_manifest(self, tmp_path):
        keys.write_manifests(tmp_path / "keys")
        secret = yaml.safe_load((tmp_path / "keys" / "akeso-grant-key.yaml").read_text())
        load_pem_private_key(base64.b64decode(secret["data"]["grant.key"]), password=None)

    def test_no_key_outside_data(self, tmp_path):
        for path in keys.write_manifests(tmp_path / "keys"):
            secret = yaml.safe_load(path.read_text())
            ((name, encoded),) = secret.pop("data").items()
            rest = yaml.safe_dump(secret) + path.name
            assert base64.b64decode(encoded).decode() not in rest
            assert encoded not in rest
            assert name in NAMES


class TestRefusals:
    @pytest.mark.parametrize("write", WRITERS)
    def test_a_second_time_changes_nothing(self, tmp_path, write):
        folder = tmp_path / "keys"
        write(folder)
        before = {path: path.read_bytes() for path in everything_in(folder)}
        with pytest.raises(MalformedError, match="never overwritten") as refused:
            write(folder)
        assert "\n" not in str(refused.value)
        assert {path: path.read_bytes() for path in everything_in(folder)} == before

    @pytest.mark.parametrize("write", WRITERS)
    def test_a_single_key_that_is_there_stops_all(self, tmp_path, write):
        folder = tmp_path / "keys"
        folder.mkdir(mode=0o700)
        for name in ("api-token", "akeso-api-token.yaml"):
            (folder / name).write_text("mine")
        with pytest.raises(MalformedError):
            write(folder)
        assert {path.read_text() for path in everything_in(folder)} == {"mine"}

    def test_a_dangling_link_is_not_followed(self, tmp_path):
        folder = tmp_path / "keys"
        folder.mkdir(mode=0o700)
        (folder / "grant.key").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(MalformedError):
            keys.write_dir(folder)
        assert not (tmp_path / "elsewhere").exists()

    def test_a_folder_that_others_can_read(self, tmp_path):
        folder = tmp_path / "keys"
        folder.mkdir()
        folder.chmod(0o755)
        with pytest.raises(MalformedError, match="open to others"):
            keys.write_dir(folder)
        assert everything_in(folder) == []
        assert mode(folder) == 0o755

    def test_a_place_that_is_no_folder(self, tmp_path):
        (tmp_path / "file").write_text("")
        for place in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(MalformedError, match="cannot be written"):
                keys.write_dir(place)


@needs_git
class TestInAGitWorkTree:
    @pytest.fixture
    def tree(self, tmp_path):
        subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
        return tmp_path

    @pytest.mark.parametrize("write", WRITERS)
    @pytest.mark.parametrize("below", ["keys", "a/b/keys"])
    def test_refused_where_git_would_see_them(self, tree, write, below):
        with pytest.raises(MalformedError, match="never committed") as refused:
            write(tree / below)
        assert "\n" not in str(refused.value)
        assert everything_in(tree) == []

    @pytest.mark.parametrize("write", WRITERS)
    def test_written_where_git_ignores_them(self, tree, write):
        (tree / ".gitignore").write_text("build/\n")
        write(tree / "build" / "keys")
        seen = subprocess.run(
            ["git", "-C", tree, "status", "--porcelain", "-uall"], check=True, capture_output=True, text=True
        )
        assert seen.stdout == "?? .gitignore\n"

    def test_refused_when_a_single_one_would_be_seen(self, tree):
        (tree / ".gitignore").write_text("keys/*\n!keys/grant.key\n")
        with pytest.raises(MalformedError, match="never committed"):
            keys.write_dir(tree / "keys")

    def test_another_tree_in_the_environment_is_not_asked(self, tree, monkeypatch, tmp_path_factory):
        other = tmp_path_factory.mktemp("other")
        subprocess.run(["git", "init", "--quiet", other], check=True)
        (other / ".git" / "info").mkdir(exist_ok=True)
        (other / ".git" / "info" / "exclude").write_text("*\n")
        monkeypatch.setenv("GIT_DIR", str(other / ".git"))
        monkeypatch.setenv("GIT_WORK_TREE", str(tree))
        with pytest.raises(MalformedError, match="never committed"):
            keys.write_dir(tree / "keys")
