import io
import json
import logging
import subprocess
import sys
import threading

import pytest
import structlog

from shared.telemetry import log


@pytest.fixture
def stream():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    log.configure("guard", stream=out)
    yield out
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers = handlers
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


class TestOwnLines:
    def test_are_one_json_object_each(self, stream):
        log.get("akeso.test").info("admitted", action="scale_deployment", used=3)

        (line,) = lines(stream)
        assert line.pop("time").endswith("+00:00")
        assert line == {
            "event": "admitted", "level": "info", "logger": "akeso.test", "function": "guard",
            "action": "scale_deployment",
            "used": 3,
        }  # fmt: skip

    def test_a_logger_made_before_configuring_follows_it(self, stream):
        logger = log.get("early")
        out = io.StringIO()
        log.configure("triage", stream=out)
        logger.info("hello")

        assert stream.getvalue() == ""
        assert lines(out)[0]["function"] == "triage"

    def test_carry_the_context_of_their_block_alone(self, stream):
        with log.context(incident="i-1", event_id="e-1"):
            log.get("a").info("inside")
        log.get("a").info("outside")

        inside, outside = lines(stream)
        assert (inside["incident"], inside["event_id"]) == ("i-1", "e-1")
        assert "incident" not in outside

    def test_name_the_function_in_other_threads_as_well(self, stream):
        thread = threading.Thread(target=lambda: log.get("a").info("there"))
        thread.start()
        thread.join()

        assert lines(stream)[0]["function"] == "guard"

    def test_below_the_level_are_not_written(self, stream):
        log.get("a").debug("quiet")
        log.configure("guard", level="debug", stream=stream)
        log.get("a").debug("loud")

        assert [line["event"] for line in lines(stream)] == ["loud"]

    def test_lose_secrets(self, stream):
        log.get("a").info("url redis://:hunter2@db", password="hunter2", nested={"token": "hunter2"})

        assert "hunter2" not in stream.getvalue()

    def test_hold_whatever_was_given(self, stream):
        log.get("a").info("odd", value=object(), text="\ud800\x00\n", many={1, 2})

        assert lines(stream)[0]["event"] == "odd"

    def test_tell_an_exception_in_one_line_without_its_secrets(self, stream):
        try:
            int("password=hunter2")
        except ValueError:
            log.get("a").exception("failed")

        (line,) = lines(stream)
        assert "ValueError" in line["exception"]
        assert "hunter2" not in stream.getvalue()


class TestOthersLines:
    @pytest.mark.parametrize("name", ["gunicorn.error", "gunicorn.access", "werkzeug", "urllib3"])
    def test_go_the_same_way(self, stream, name):
        with log.context(incident="i-1"):
            logging.getLogger(name).warning("sent %s", "Bearer hunter2hunter2")

        (line,) = lines(stream)
        assert "hunter2" not in line["event"]
        assert (line["logger"], line["level"], line["incident"], line["function"]) == (name, "warning", "i-1", "guard")

    def test_are_not_doubled_by_configuring_twice(self, stream):
        log.configure("guard", stream=stream)
        logging.getLogger("x").error("once")

        assert len(lines(stream)) == 1

    @pytest.mark.usefixtures("stream")
    def test_leave_foreign_collecting_handlers_in_place(self, caplog):
        logging.getLogger("x").error("seen")

        assert caplog.messages == ["seen"]

    def test_tell_an_exception_in_one_line(self, stream):
        try:
            int("token: hunter2")
        except ValueError:
            logging.getLogger("x").exception("failed")

        (line,) = lines(stream)
        assert "ValueError" in line["exception"]
        assert "hunter2" not in stream.getvalue()


def test_a_level_that_does_not_exist_is_refused():
    with pytest.raises(ValueError):
        log.configure(level="chatty")


def test_the_default_is_stderr_and_importing_changes_nothing():
    code = (
        "import logging; from shared.telemetry import log; assert not logging.getLogger().handlers;"
        "log.configure('x'); log.get('a').info('hello'); logging.getLogger('b').info('there')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == ""
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["hello", "there"]


def test_importing_it_brings_no_client():
    heavy = "httpx redis kubernetes flask aiohttp prometheus_client cryptography yaml typer"
    code = f"import sys, shared.telemetry.log; print([m for m in '{heavy}'.split() if m in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
