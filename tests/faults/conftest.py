import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faults.play import FAST, Play
from tests.flows.harness import a_world


def _open(folder, **options):
    events = deque(maxlen=20_000)
    env = {"AKESO_KUBE__TIMEOUT_MS": "1500"}  # an API that never answers is waited for no longer than that
    world = a_world(folder, speed=FAST, observer=events.append, env=env, **options)
    return world, events


@pytest.fixture(scope="session")
def faulty_world(tmp_path_factory):
    opened, events = _open(tmp_path_factory.mktemp("world"))
    with opened as world:
        world.events = events
        world.pace(1)  # the broker's back-off stays fast
        yield world


@pytest.fixture
def play(faulty_world):
    """A story in the world that all fault stories share. Nothing that an earlier one did counts any more."""
    faulty_world.advance(301)
    story = Play(faulty_world)
    yield story
    story.end()


@pytest.fixture
def own_play(tmp_path):
    """A story in a world of its own, for one that breaks it."""
    opened, events = _open(tmp_path / "world")
    with opened as world:
        world.events = events
        world.pace(1)
        story = Play(world)
        yield story


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
