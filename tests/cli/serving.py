"""Functions served in this process, each under `/services/<name>/` as the local broker does it."""

import importlib
import threading
from contextlib import contextmanager

from flask import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

MODULES = ("intake", "triage", "router", "guard", "executor", "verifier", "escalate", "deadletter", "sweeper", "api")


class _Silent(WSGIRequestHandler):
    def log(self, *_):
        pass


@contextmanager
def serving(*functions):
    """Base URL of the functions of these names. Their settings are those of the environment at the first request."""
    made = {}
    for name in functions:
        module = importlib.reload(importlib.import_module(f"functions.{name}.main"))
        made["executor-scale-deployment" if name == "executor" else name] = getattr(module, name)

    def app(environ, start):
        _, _, service, path = environ["PATH_INFO"].split("/", 3)
        function = made.get(service)
        environ["PATH_INFO"] = f"/{path}"
        answer = function(Request(environ)) if function else Response("no such service", 404)
        return answer(environ, start)

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
