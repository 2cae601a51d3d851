"""Parts of an object, and deeds on it, under URLs of their own."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from cluster.apiserver.answers import answer_object
from cluster.apiserver.node_logs import logs
from cluster.apiserver.node_streams import attach, port_forward, run_command
from cluster.apiserver.objects_api import Asked, Handler, patched, read_patch
from cluster.apiserver.registry import binding, eviction, patching, scaling, tokens, writing
from cluster.apiserver.registry.reading import get
from cluster.apiserver.wire_form import object_of
from cluster.kube_api.errors import bad_request, method_not_allowed, resource_not_found
from cluster.kube_api.objects import JsonObject, object_at, string_at
from cluster.kube_api.resource import Kind

BINDING = Kind("", "v1", "Binding")
EVICTION = Kind("policy", "v1", "Eviction")
SCALE = Kind("autoscaling", "v1", "Scale")
TOKEN_REQUEST = Kind("authentication.k8s.io", "v1", "TokenRequest")


async def serve(asked: Asked) -> web.StreamResponse:
    """Answer a request on a subresource.

    Raises:
        ApiError: it cannot be served.
    """
    sub = asked.resource.subresource(asked.info.subresource)
    if sub is None:
        raise resource_not_found()
    handler = _HANDLERS.get((sub.name, asked.info.verb))
    if handler is None or asked.info.verb not in sub.verbs:
        raise method_not_allowed()
    return await handler(asked)


async def _get_object(asked: Asked) -> web.StreamResponse:
    call = asked.call()
    entry = await get(call, None)
    return asked.answer(call, object_of(entry.value, entry.revision))


async def _update_status(asked: Asked) -> web.StreamResponse:
    call = asked.write_call()
    obj = await asked.object(call)

    async def make(_: JsonObject) -> JsonObject:
        return obj

    return asked.answer(call, (await writing.update(call, make, is_status=True)).obj)


async def _patch_status(asked: Asked) -> web.StreamResponse:
    call = asked.write_call()
    return asked.answer(call, (await patched(asked, call, is_status=True)).obj)


# --- a part of spec alone: ephemeral containers, resizing, finalizers of a namespace ---


def _with_part(live: JsonObject, sent: JsonObject, names: tuple[str, ...]) -> JsonObject:
    """Return what is stored with some fields of `spec` as they were sent, and its version."""
    spec = object_at(live, "spec") | {
        name: value for name, value in object_at(sent, "spec").items() if name in names
    }
    metadata = object_at(live, "metadata")
    if version := string_at(sent, "metadata", "resourceVersion"):
        metadata = metadata | {"resourceVersion": version}
    if uid := string_at(sent, "metadata", "uid"):
        metadata = metadata | {"uid": uid}
    return live | {"metadata": metadata, "spec": spec}


_PARTS = {
    "finalize": ("finalizers",),
    "ephemeralcontainers": ("ephemeralContainers",),
    "resize": ("containers", "initContainers"),
}


async def _update_part(asked: Asked) -> web.StreamResponse:
    call = asked.write_call()
    obj = await asked.object(call)
    names = _PARTS[asked.info.subresource]
    if "finalizers" in names:
        obj["spec"] = {"finalizers": []} | object_at(obj, "spec")

    async def make(live: JsonObject) -> JsonObject:
        return _with_part(live, obj, names)

    return asked.answer(call, (await writing.update(call, make)).obj)


async def _patch_part(asked: Asked) -> web.StreamResponse:
    call = asked.write_call()
    patch = await read_patch(asked, call)
    apply = patching.function(call, patch, patching.Target.of(call.resource))
    names = _PARTS[asked.info.subresource]

    async def make(live: JsonObject) -> JsonObject:
        return _with_part(live, apply(live), names)

    return asked.answer(call, (await writing.update(call, make)).obj)


# --- scale ---


async def _get_scale(asked: Asked) -> web.StreamResponse:
    entry = await get(asked.call(), None)
    obj = object_of(entry.value, entry.revision)
    return answer_object(asked.http, scaling.scale_of(asked.resource, obj))


async def _update_scale(asked: Asked) -> web.StreamResponse:
    call = asked.write_call()
    scale = await asked.object(call, kind=SCALE)

    async def make(live: JsonObject) -> JsonObject:
        return scaling.scaled(call, live, scale)

    written = await writing.update(call, make)
    return answer_object(asked.http, scaling.scale_of(asked.resource, written.obj))


async def _patch_scale(asked: Asked) -> web.StreamResponse:
    call = asked.write_call()
    patch = await read_patch(asked, call, kind=SCALE.kind)
    apply = patching.function(call, patch, patching.Target.built_in(SCALE))

    async def make(live: JsonObject) -> JsonObject:
        return scaling.scaled(call, live, apply(scaling.scale_of(asked.resource, live)))

    written = await writing.update(call, make)
    return answer_object(asked.http, scaling.scale_of(asked.resource, written.obj))


# --- deeds ---


async def bind(asked: Asked) -> web.StreamResponse:
    """Assign a pod to a node: `pods/NAME/binding`, or `bindings` with the name in the body."""
    call = asked.write_call()
    wanted = await asked.object(call, kind=BINDING)
    name = string_at(wanted, "metadata", "name")
    if call.name and name not in ("", call.name):
        raise bad_request("name in URL does not match name in Binding object")
    await binding.bind(call, call.name or name, wanted)
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    created = int(HTTPStatus.CREATED)
    return answer_object(asked.http, status | {"code": created}, code=created)


async def _evict(asked: Asked) -> web.StreamResponse:
    call = asked.write_call()
    wanted = await asked.object(call, kind=EVICTION)
    name = string_at(wanted, "metadata", "name")
    if name not in ("", call.name):
        raise bad_request("name in URL does not match name in Eviction object")
    await eviction.evict(call, wanted)
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    created = int(HTTPStatus.CREATED)
    return answer_object(asked.http, status | {"code": created}, code=created)


async def _create_token(asked: Asked) -> web.StreamResponse:
    call = asked.write_call()
    wanted = await asked.object(call, kind=TOKEN_REQUEST)
    made = await tokens.create(call, wanted)
    return answer_object(asked.http, made, code=HTTPStatus.CREATED, warnings=call.warnings)


_HANDLERS: Mapping[tuple[str, str], Handler] = {
    ("log", "get"): logs,
    ("exec", "get"): run_command,
    ("exec", "create"): run_command,
    ("attach", "get"): attach,
    ("attach", "create"): attach,
    ("portforward", "get"): port_forward,
    ("portforward", "create"): port_forward,
    ("status", "get"): _get_object,
    ("status", "update"): _update_status,
    ("status", "patch"): _patch_status,
    ("approval", "get"): _get_object,
    ("approval", "update"): _update_status,
    ("approval", "patch"): _patch_status,
    ("finalize", "update"): _update_part,
    ("ephemeralcontainers", "get"): _get_object,
    ("ephemeralcontainers", "update"): _update_part,
    ("ephemeralcontainers", "patch"): _patch_part,
    ("resize", "get"): _get_object,
    ("resize", "update"): _update_part,
    ("resize", "patch"): _patch_part,
    ("scale", "get"): _get_scale,
    ("scale", "update"): _update_scale,
    ("scale", "patch"): _patch_scale,
    ("binding", "create"): bind,
    ("eviction", "create"): _evict,
    ("token", "create"): _create_token,
}
