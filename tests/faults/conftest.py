import os
import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faults.play import FAST, Play
from tests.flows.harness import a_world


@contextmanager
def opened(folder, env=None):
    """A world that keeps each event that its broker takes. The broker's pauses are short, the clock runs as in life."""
    events = deque(maxlen=20_000)
    quick = {"AKESO_KUBE__TIMEOUT_MS": "1500"}  # an API that never answers is waited for no longer than that
    with a_world(folder, speed=FAST, observer=events.append, env=quick | (env or {})) as world:
        world.events = events
        world.pace(1)
        yield world


@pytest.fixture(scope="session")
def faulty_world(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def play(faulty_world):
    """A story in the world that all fault stories share. Nothing that an earlier one did counts any more."""
    os.environ["AKESO_CLOCK_FILE"] = str(faulty_world.clock_file)  # another world may have been opened since
    faulty_world.advance(301)
    story = Play(faulty_world)
    yield story
    story.end()


@pytest.fixture
def refusing():
    """A service that refuses every event as malformed: its URL, and the ids of what came."""
    seen = []

    class Refuse(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            seen.append(self.headers["ce-id"])
            self.send_response(400)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", seen
        server.shutdown()
