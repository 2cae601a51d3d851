"""What a client accepts, and what it sends: media types with their parameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from cluster.kube_api.errors import not_acceptable

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_YAML = "application/apply-patch+yaml"
APPLY_CBOR = "application/apply-patch+cbor"

ACCEPT_PARTS_MAX = 32
_META_VERSIONS = frozenset({"v1", "v1beta1"})


class Shape(Enum):
    """How objects are shown."""

    OBJECT = "object"
    TABLE = "Table"
    PARTIAL = "PartialObjectMetadata"


@dataclass(frozen=True, slots=True)
class Form:
    """What is answered: the shape of objects, and the encoding."""

    shape: Shape = Shape.OBJECT
    is_yaml: bool = False
    meta_version: str = "v1"
    """Of Table and PartialObjectMetadata."""


@dataclass(frozen=True, slots=True)
class MediaType:
    name: str
    parameters: dict[str, str]


def media_types(header: str) -> Iterator[MediaType]:
    """Read an Accept header, in the client's order; quality values do not occur here."""
    for part in header.split(",")[:ACCEPT_PARTS_MAX]:
        name, *parameters = (word.strip() for word in part.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        yield MediaType(name.lower(), {key.strip(): value.strip() for key, _, value in pairs})


def form_of(accept: str) -> Form:
    """Return the first form the client accepts that can be made.

    A client that prefers protobuf gets JSON: the answer's Content-Type says so, and all of them
    read it.

    Raises:
        ApiError: 406, there is none.
    """
    if not accept.strip():
        return Form()
    fallback = None
    for media_type in media_types(accept):
        if media_type.name == PROTOBUF:
            fallback = fallback or _shaped(media_type, is_yaml=False)
            continue
        if media_type.name in {JSON, "*/*", "application/*"}:
            form = _shaped(media_type, is_yaml=False)
        elif media_type.name == YAML:
            form = _shaped(media_type, is_yaml=True)
        else:
            continue
        if form is not None:
            return form
    if fallback is not None:
        return fallback
    raise not_acceptable([JSON, YAML, PROTOBUF])


def _shaped(media_type: MediaType, *, is_yaml: bool) -> Form | None:
    wanted = media_type.parameters.get("as", "").removesuffix("List")
    if not wanted:
        return Form(is_yaml=is_yaml)
    version = media_type.parameters.get("v", "")
    if media_type.parameters.get("g") != "meta.k8s.io" or version not in _META_VERSIONS:
        return None
    for shape in (Shape.TABLE, Shape.PARTIAL):
        if wanted == shape.value:
            return Form(shape=shape, is_yaml=is_yaml, meta_version=version)
    return None


def content_type(header: str) -> str:
    """Return the media type of a body; none given means JSON, as official clients assume."""
    return header.partition(";")[0].strip().lower() or JSON
