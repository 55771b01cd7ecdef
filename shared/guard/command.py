"""The command by which a person does what the machine only suggests."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from shared.model.facts import Scope


def run_command(action: str, scope: Scope, params: Mapping[str, Any]) -> str:
    """`akeso run <action> --target <kind/namespace/name> --param k=v --yes`, quoted for a shell."""
    words = ["akeso", "run", action, "--target", scope.key]
    for name, value in sorted(params.items()):
        words += ["--param", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join([*words, "--yes"])
