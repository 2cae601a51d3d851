"""Parts of an object, and deeds on it, under URLs of their own."""

from collections.abc import Mapping

from aiohttp import web

from cluster.apiserver.objects_api import Asked, Handler, patched
from cluster.apiserver.registry import writing
from cluster.apiserver.registry.reading import get
from cluster.apiserver.wire_form import object_of
from cluster.kube_api.errors import method_not_allowed, resource_not_found
from cluster.kube_api.objects import JsonObject


async def serve(asked: Asked) -> web.StreamResponse:
    """Answer a request on a subresource.

    Raises:
        ApiError: it cannot be served.
    """
    sub = asked.resource.subresource(asked.info.subresource)
    if sub is None:
        raise resource_not_found()
    if asked.info.verb not in sub.verbs:
        raise method_not_allowed()
    handler = _HANDLERS.get((sub.name, asked.info.verb))
    if handler is None:
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


_HANDLERS: Mapping[tuple[str, str], Handler] = {
    ("status", "get"): _get_object,
    ("status", "update"): _update_status,
    ("status", "patch"): _patch_status,
}
