"""What the emulated API says when it does not do what was asked: in the real one's words where clients read them."""

from typing import Any, Final

from shared.kube.kinds import KINDS

Object = dict[str, Any]
Cause = tuple[str, str]  # field, reason

# The API server does not say why a JSON patch does not apply; clients have to cope with this sentence.
_INAPPLICABLE: Final = "the server rejected our request due to an error in our request"
_STALE: Final = "the object has been modified; please apply your changes to the latest version and try again"


class ApiError(Exception):
    """An answer of the API that is not a success, as a Kubernetes Status."""

    def __init__(self, status: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status}
        self.body |= {"message": message} | ({"reason": reason} if reason else {})
        self.body |= {"details": {key: value for key, value in details.items() if value}}


def resource(kind: str) -> str:
    """The kind's plural with its group, as the API names it in its sentences: `deployments.apps`."""
    return ".".join(filter(None, (KINDS[kind].plural, KINDS[kind].group)))


def about(kind: str, name: str) -> Object:
    """Details of an answer about one object, by its resource."""
    return {"name": name, "group": KINDS[kind].group, "kind": KINDS[kind].plural}


def not_found(kind: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{resource(kind)} "{name}" not found', **about(kind, name))


def no_such_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def stale(kind: str, name: str) -> ApiError:
    said = f'Operation cannot be fulfilled on {resource(kind)} "{name}": {_STALE}'
    return ApiError(409, "Conflict", said, **about(kind, name))


def precondition(kind: str, name: str, field: str, wanted: object, found: object) -> ApiError:
    """A delete or an eviction that is meant for another object, or for another version of it."""
    word, why = {
        "uid": ("UID", "The object might have been deleted and then recreated"),
        "resourceVersion": ("ResourceVersion", "The object might have been modified"),
    }[field]
    said = f'Operation cannot be fulfilled on {kind} "{name}": the {word} in the precondition ({wanted})'
    return ApiError(409, "Conflict", f"{said} does not match the {word} in record ({found}). {why}", name=name,
                    kind=kind)  # fmt: skip


def bad(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def inapplicable() -> ApiError:
    """A JSON patch that does not fit the object, a failed `test` above all."""
    return ApiError(422, "Invalid", _INAPPLICABLE)


def invalid(kind: str, name: str, causes: list[Cause], *, group: str | None = None) -> ApiError:
    """An object, or the options of a request, that validation refuses."""
    group = KINDS[kind].group if group is None else group
    fields = [{"reason": reason, "message": "the value is not allowed", "field": field} for field, reason in causes]
    said = f'{kind} "{name}" is invalid: {", ".join(field for field, _ in causes)}'
    return ApiError(422, "Invalid", said, name=name, group=group, kind=kind, causes=fields)


def unreadable_patch(why: str) -> ApiError:
    """A patch after which the object is none of its kind any more."""
    cause = {"reason": "FieldValueInvalid", "message": f"Invalid value: {why}", "field": "patch"}
    return ApiError(422, "Invalid", f' "" is invalid: patch: Invalid value: {why}', causes=[cause])


def refused(kind: str, name: str, policy: str, reason: str, message: str) -> ApiError:
    """The word of a ValidatingAdmissionPolicy."""
    said = f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: {message}"
    status = {"Invalid": 422, "Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}[reason]
    return ApiError(status, reason, f'{resource(kind)} "{name}" is forbidden: {said}', **about(kind, name),
                    causes=[{"message": said}])  # fmt: skip
