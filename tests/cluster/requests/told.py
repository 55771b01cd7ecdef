"""Where the stories are collected."""

from collections.abc import Callable
from typing import Final

from tests.cluster.side import Side

Story = Callable[[Side], None]
STORIES: Final[dict[str, Story]] = {}


def story(told: Story) -> Story:
    STORIES[told.__name__] = told
    return told
