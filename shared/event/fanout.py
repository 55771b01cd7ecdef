"""Posts many events at once, answers in time, and never gives a post up.

A sender that hangs up cancels retries and dead letters on an in-memory broker. So when the time for an answer is over
the open posts run on, and mark what the broker took when it took it.
"""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from shared.errors import AkesoError
from shared.event.codec import Event
from shared.telemetry import log

if TYPE_CHECKING:  # its HTTP client is not needed before the first post
    from shared.event.sink import Sink

_WORKERS = 16
_log = log.get("akeso.fanout")
_lock = threading.Lock()
_pool: list[ThreadPoolExecutor] = []


def _executor() -> ThreadPoolExecutor:
    # Not at import: gunicorn forks after it.
    with _lock:
        if not _pool:
            _pool.append(ThreadPoolExecutor(_WORKERS, thread_name_prefix="post"))
        return _pool[0]


def post_all(sink: "Sink", events: list[Event], wait_s: float, on_taken: Callable[[list[str]], object]) -> set[str]:
    """Post `events` side by side for at most `wait_s` seconds; the ids that the broker has taken by then.

    `on_taken` is called with those ids, and once more for each that is taken later; it may raise AkesoError.
    """
    if not events:
        return set()
    pool = _executor()
    posts: dict[Future[None], str] = {pool.submit(sink.post, event): event.id for event in events}
    done, late = wait(posts, timeout=wait_s)

    def later(post: Future[None]) -> None:
        if post.exception() is None:
            with contextlib.suppress(AkesoError):  # the resend will post it again, and the inbox knows it
                on_taken([posts[post]])

    for post in late:  # first, because `on_taken` may raise
        post.add_done_callback(later)
    taken = {posts[post] for post in done if post.exception() is None}
    for post in done:
        if error := post.exception():
            _log.warning("not taken by the broker", error=str(error)[:200])
    if taken:
        on_taken(sorted(taken))
    return taken
