import os

import pytest

from shared.errors import UnavailableError
from shared.event.here import Here
from shared.secrets import Secrets


class TestReading:
    def test_without_the_last_line_end(self, tmp_path):
        (tmp_path / "a").write_bytes(b" x\n\n")
        assert Secrets(tmp_path).optional("a") == b" x\n"

    def test_of_none_is_none(self, tmp_path):
        assert Secrets(tmp_path).optional("a") is None
        assert Secrets(tmp_path / "nowhere").optional("a") is None

    @pytest.mark.parametrize("content", [None, b"", b"\n"])
    def test_of_a_required_one_that_is_not_there_or_empty(self, tmp_path, content):
        if content is not None:
            (tmp_path / "a").write_bytes(content)
        with pytest.raises(UnavailableError, match="secret a is not mounted") as caught:
            Secrets(tmp_path).required("a")
        assert caught.value.reason == "secret-missing"

    def test_of_what_cannot_be_read_is_not_taken_for_none(self, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "file").write_text("x")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        for folder, name in ((tmp_path, "a"), (tmp_path / "file", "a"), (tmp_path, "loop")):
            with pytest.raises(UnavailableError) as caught:
                Secrets(folder).optional(name)
            assert caught.value.reason == "secret-unreadable"


class TestChange:
    def test_is_seen(self, tmp_path):
        read = Secrets(tmp_path)
        (tmp_path / "a").write_text("one")
        assert read.optional("a") == b"one"
        (tmp_path / "a").write_text("other")
        assert read.optional("a") == b"other"
        (tmp_path / "a").unlink()
        assert read.optional("a") is None

    def test_as_kubelet_does_it_is_seen(self, tmp_path):
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a").write_text(folder)
        (tmp_path / "data").symlink_to("one")
        (tmp_path / "a").symlink_to("data/a")
        read = Secrets(tmp_path)
        assert read.optional("a") == b"one"
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").rename(tmp_path / "data")
        assert read.optional("a") == b"two"

    def test_is_seen_in_a_file_that_carries_the_old_ones_time(self, tmp_path):
        (tmp_path / "a").write_text("one")
        (tmp_path / "b").write_text("two")
        os.utime(tmp_path / "a", ns=(7, 7))
        os.utime(tmp_path / "b", ns=(7, 7))
        read = Secrets(tmp_path)
        assert read.optional("a") == b"one"
        (tmp_path / "b").rename(tmp_path / "a")
        assert read.optional("a") == b"two"

    def test_alone_makes_it_read_the_file(self, tmp_path):
        (tmp_path / "a").write_text("one")
        read = Secrets(tmp_path)
        value = read.optional("a")
        assert read.optional("a") is value


class TestHere:
    def test_gives_the_present_key_and_the_previous_one(self, folder):
        assert [key[:1] for key in Here("guard").event_keys()] == [b"k", b"o"]
        (folder / "event-hmac-previous").unlink()
        assert [key[:1] for key in Here("guard").event_keys()] == [b"k"]

    @pytest.mark.usefixtures("folder")
    def test_has_no_sink_where_none_is_named(self, monkeypatch):
        monkeypatch.delenv("K_SINK", raising=False)
        with pytest.raises(UnavailableError) as caught:
            _ = Here("intake").sink
        assert caught.value.reason == "no-broker"

    @pytest.mark.usefixtures("folder")
    def test_goes_on_without_redis_where_that_is_best_effort(self):
        here = Here("escalate")
        with here.redis_may_be_gone():
            here.state.store.read("PING")
            pytest.fail("there is no Redis here")
