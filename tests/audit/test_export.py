import fcntl
import json
import multiprocessing
import os
import resource
import threading
from pathlib import Path

import pytest

from shared.audit.export import append, items, verified
from shared.errors import UnavailableError

WHO = ("default", "prod", "i-1")
ITEMS = [f'{n:040x} {{"seq":{n},"text":"ü \\n \u2028 {n}"}}' for n in range(1, 6)]


@pytest.fixture
def sink(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def many(path: Path, incident: str) -> None:
    for item in ITEMS:
        append(path, "default", "prod", incident, [item])


class TestAppend:
    def test_writes_one_object_per_line(self, sink):
        assert append(sink, *WHO, ITEMS) == 5

        objects = [json.loads(line) for line in sink.read_bytes().splitlines()]
        assert objects[0] == {"tenant": "default", "cluster": "prod", "incident": "i-1", "item": ITEMS[0]}
        assert items(sink, *WHO) == tuple(ITEMS)

    def test_never_touches_what_is_there(self, sink):
        append(sink, *WHO, ITEMS[:2])
        before = sink.read_bytes()
        append(sink, "default", "prod", "i-2", ITEMS)
        append(sink, *WHO, ITEMS[2:])

        assert sink.read_bytes().startswith(before)
        assert items(sink, *WHO) == tuple(ITEMS)

    def test_again_adds_nothing(self, sink):
        append(sink, *WHO, ITEMS[:3])
        assert append(sink, *WHO, ITEMS) == 2
        assert append(sink, *WHO, ITEMS) == 0
        assert items(sink, *WHO) == tuple(ITEMS)

    def test_nothing_is_a_file_with_nothing(self, sink):
        assert append(sink, *WHO, []) == 0
        assert sink.read_bytes() == b""

    @pytest.mark.parametrize(
        "torn",
        [b'{"tenant":"default","clu', b'{"tenant":"default","cluster":"prod","incident":"i-1","item":"x', b"\xff"],
    )
    def test_a_line_torn_by_a_crash_swallows_no_other(self, sink, torn):
        append(sink, *WHO, ITEMS[:2])
        with sink.open("ab") as file:
            file.write(torn)
        append(sink, *WHO, ITEMS[2:])

        assert items(sink, *WHO) == tuple(ITEMS)
        assert verified(sink, *WHO, ITEMS)
        assert torn in sink.read_bytes()

    def test_a_torn_line_of_a_known_item_is_written_again(self, sink):
        append(sink, *WHO, ITEMS)
        os.truncate(sink, sink.stat().st_size - 1)

        assert not verified(sink, *WHO, ITEMS)
        assert append(sink, *WHO, ITEMS) == 1
        assert verified(sink, *WHO, ITEMS)

    def test_names_that_hold_quotes_stay_apart(self, sink):
        append(sink, "a", "b", 'c","item":"x', ITEMS[:1])
        assert items(sink, "a", "b", "c") == ()
        assert items(sink, "a", "b", 'c","item":"x') == (ITEMS[0],)

    def test_only_the_owner_may_read_it(self, sink):
        append(sink, *WHO, ITEMS)
        assert sink.stat().st_mode & 0o777 == 0o600

    def test_waits_for_another_writer_to_end(self, sink):
        sink.touch()
        with sink.open("ab") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            writer = threading.Thread(target=append, args=(sink, *WHO, ITEMS))
            writer.start()
            writer.join(0.1)
            assert writer.is_alive()
            assert sink.read_bytes() == b""
        writer.join()
        assert verified(sink, *WHO, ITEMS)

    def test_several_writers_lose_and_mix_nothing(self, sink):
        context = multiprocessing.get_context("fork")
        writers = [context.Process(target=many, args=(sink, f"i-{n % 2}")) for n in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        assert items(sink, "default", "prod", "i-0") == items(sink, "default", "prod", "i-1") == tuple(ITEMS)
        assert len(sink.read_bytes().splitlines()) == 10

    def test_a_folder_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(UnavailableError) as caught:
            append(tmp_path / "none" / "audit.jsonl", *WHO, ITEMS)
        assert caught.value.reason == "audit-export"

    def test_a_full_disk_is_told_and_what_it_tore_is_mended_later(self, sink):
        append(sink, *WHO, ITEMS[:2])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (sink.stat().st_size + 20, hard))
        try:
            with pytest.raises(UnavailableError) as caught:
                append(sink, *WHO, ITEMS)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.reason == "audit-export"
        assert not verified(sink, *WHO, ITEMS)

        append(sink, *WHO, ITEMS)
        assert verified(sink, *WHO, ITEMS)

    def test_only_a_plain_file_will_do(self):
        with pytest.raises(UnavailableError) as caught:
            append(Path("/dev/full"), *WHO, ITEMS)
        assert "no plain file" in str(caught.value)


class TestVerified:
    def test_holds_for_what_was_exported(self, sink):
        append(sink, *WHO, ITEMS)
        assert verified(sink, *WHO, ITEMS)
        assert verified(sink, *WHO, ITEMS[1:3])
        assert verified(sink, *WHO, [])

    def test_a_file_that_is_not_there_holds_nothing(self, sink):
        assert not verified(sink, *WHO, ITEMS)

    def test_an_item_that_is_missing_is_noticed(self, sink):
        append(sink, *WHO, ITEMS[:-1])
        assert not verified(sink, *WHO, ITEMS)

    def test_another_incident_or_cluster_does_not_count(self, sink):
        append(sink, "default", "prod", "i-2", ITEMS)
        append(sink, "default", "dev", "i-1", ITEMS)
        assert not verified(sink, *WHO, ITEMS)

    def test_another_order_is_noticed(self, sink):
        append(sink, *WHO, [ITEMS[1], ITEMS[0]])
        assert not verified(sink, *WHO, ITEMS[:2])

    def test_one_byte_changed_anywhere_is_noticed(self, sink):
        append(sink, *WHO, ITEMS[:2])
        data = sink.read_bytes()
        for at in range(len(data)):
            sink.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert not verified(sink, *WHO, ITEMS[:2]), data[at : at + 10]

    def test_what_cannot_be_read_is_no_answer(self, tmp_path):
        with pytest.raises(UnavailableError):
            verified(tmp_path, *WHO, ITEMS)
