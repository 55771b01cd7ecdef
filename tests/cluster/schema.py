"""Distils what the emulator knows of the kinds' fields from a real server's OpenAPI document.

`python -m tests.cluster.schema KUBECONFIG` writes `shared/dev/cluster_schema.json`: run it after a change of
`shared/kube/kinds.py` or for another version of Kubernetes. The signs that it writes are explained in
`shared/dev/cluster_schema.py`, which reads them.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from shared.kube.kinds import KINDS
from tests.cluster.api import Api

FILE: Final = Path(__file__).parents[2] / "shared" / "dev" / "cluster_schema.json"
_SCALARS: Final = {"string": "s", "integer": "i", "number": "n", "boolean": "b"}
# Groups that a server knows only where they are installed: our own, whose schema is made from our model, and others'.
_INSTALLED: Final = frozenset({"akeso.dev", "snapshot.storage.k8s.io"})
# What is sent about an object.
_MORE: Final = {"Scale": "autoscaling/v1", "Eviction": "policy/v1", "DeleteOptions": "v1"}


def distil(api: Api) -> str:
    """The whole file: one line per type, so that a difference can be read."""
    found = _Distilled()
    wanted = {name: kind.api for name, kind in KINDS.items() if kind.group not in _INSTALLED} | _MORE
    roots = {}
    for version in sorted(set(wanted.values())):
        root = f"apis/{version}" if "/" in version else f"api/{version}"
        schemas = api.ok("GET", f"/openapi/v3/{root}")["components"]["schemas"]
        for name, schema in schemas.items():
            for known in schema.get("x-kubernetes-group-version-kind", []):
                if wanted.get(known["kind"]) == f"{known['group']}/{known['version']}".strip("/"):
                    roots[known["kind"]] = found.reference(schemas, name)
    head = json.dumps({"kinds": dict(sorted(roots.items()))})[:-1]
    lines = [f"{json.dumps(name)}: {json.dumps(fields)}" for name, fields in sorted(found.types.items())]
    return head + ', "types": {\n' + ",\n".join(lines) + "\n}}\n"


class _Distilled:
    def __init__(self) -> None:
        self.types: dict[str, dict[str, str]] = {}

    def reference(self, schemas: dict[str, Any], name: str) -> str:
        schema, short = (
            schemas[name],
            name.removeprefix("io.k8s.").replace("apimachinery.pkg.apis.", "").replace("api.", ""),
        )
        if "properties" not in schema:
            return self._bare(schema)
        if short not in self.types:
            self.types[short] = {}
            self.types[short] |= {key: self._field(schemas, part) for key, part in sorted(schema["properties"].items())}
        return ("!" if schema.get("x-kubernetes-map-type") == "atomic" else "") + short

    def _field(self, schemas: dict[str, Any], field: dict[str, Any]) -> str:
        reference = field.get("$ref") or next((part["$ref"] for part in field.get("allOf", []) if "$ref" in part), "")
        if reference:
            sign = self.reference(schemas, reference.rpartition("/")[2])
            return "!" + sign.lstrip("!") if field.get("x-kubernetes-map-type") == "atomic" else sign
        if field.get("type") == "array":
            return "[" + ";".join([self._field(schemas, field["items"]), *self._merging(schemas, field)])
        if field.get("type") == "object":
            element = self._field(schemas, field["additionalProperties"]) if "additionalProperties" in field else "*"
            return ("{!" if field.get("x-kubernetes-map-type") == "atomic" else "{") + element
        return self._bare(field)

    def _merging(self, schemas: dict[str, Any], field: dict[str, Any]) -> tuple[str, str]:
        """How the items are told apart by server-side apply, and by a strategic merge patch."""
        applied = {"set": "=", "map": ",".join(field.get("x-kubernetes-list-map-keys", []))}
        patched = field.get("x-kubernetes-patch-merge-key", "=")
        merges = "merge" in field.get("x-kubernetes-patch-strategy", "").split(",")
        keys = applied.get(field.get("x-kubernetes-list-type", ""), "")
        return ",".join(self._with_default(schemas, field, key) for key in keys.split(",")), patched if merges else ""

    @staticmethod
    def _with_default(schemas: dict[str, Any], field: dict[str, Any], key: str) -> str:
        reference = next((part["$ref"] for part in field["items"].get("allOf", []) if "$ref" in part), "")
        schema = schemas.get(reference.rpartition("/")[2], {}).get("properties", {}).get(key, {})
        default = schema.get("default", "")
        return f"{key}={default}" if default else key

    @staticmethod
    def _bare(schema: dict[str, Any]) -> str:
        kind, form = schema.get("type", ""), schema.get("format", "")
        if form == "int-or-string" or "oneOf" in schema:
            return "q"
        if form == "date-time":
            return "t"
        return _SCALARS.get(kind, "*")


if __name__ == "__main__":
    FILE.write_text(distil(Api(Path(sys.argv[1]))))
