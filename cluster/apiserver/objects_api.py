"""The verbs on objects, from an HTTP request to its answer."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from cluster.apiserver import bodies, options
from cluster.apiserver.answers import answer, answer_object
from cluster.apiserver.negotiation import APPLY_YAML, Form, content_type, form_of
from cluster.apiserver.options import (
    DeleteOptions,
    WriteOptions,
    delete_options,
    list_options,
    write_options,
)
from cluster.apiserver.presenting import ListMeta, Presenter
from cluster.apiserver.registry import deleting, patching, reading, rules, watching, writing
from cluster.apiserver.registry.call import Call
from cluster.apiserver.registry.selecting import Selection, selection
from cluster.apiserver.registry.strategies import strategy_of
from cluster.apiserver.routes import RequestInfo
from cluster.apiserver.services import Services
from cluster.apiserver.users import User
from cluster.kube_api.errors import bad_request, method_not_allowed, success
from cluster.kube_api.objects import JsonObject
from cluster.kube_api.resource import Kind, Resource

DELETE_OPTIONS = Kind("", "v1", "DeleteOptions")
_OPTIONS_KINDS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request on a resource that is served, with who makes it."""

    http: web.BaseRequest
    info: RequestInfo
    resource: Resource
    services: Services
    user: User

    @property
    def form(self) -> Form:
        """What the client accepts.

        Raises:
            ApiError: 406.
        """
        return form_of(self.http.headers.get("Accept", ""))

    def call(self, write: WriteOptions | None = None) -> Call:
        """Return the call for the registry."""
        manager = write.field_manager if write else ""
        agent = self.http.headers.get("User-Agent", "").partition("/")[0]
        return Call(
            services=self.services,
            resource=self.resource,
            user=self.user,
            namespace=self.info.namespace if self.resource.is_namespaced else "",
            name=self.info.name,
            subresource=self.info.subresource,
            options=write or WriteOptions(),
            manager=manager or agent or "unknown",
        )

    def write_call(self) -> Call:
        """Return the call of a write, with its options.

        Raises:
            ApiError: 422.
        """
        query = self.http.query
        kind = _OPTIONS_KINDS[self.info.verb]
        return self.call(write_options(kind, query, query.getall("dryRun", [])))

    def presenter(self, form: Form) -> Presenter:
        """Return who shows the objects."""
        return Presenter(
            resource=self.resource,
            form=form,
            include_object=self.http.query.get("includeObject", "") or "Metadata",
            clock=self.services.clock,
        )

    async def body(self) -> bytes:
        """Return the request's body.

        Raises:
            ApiError: 413.
        """
        return await read_body(self.http)

    async def object(self, call: Call, *, kind: Kind | None = None) -> JsonObject:
        """Return the object in the body, in the form of its kind.

        Raises:
            ApiError: 400, 413, 415.
        """
        expected = kind or self.resource.gvk
        parsed = bodies.parse(
            await self.body(), content_type(self.http.headers.get("Content-Type", "")), expected
        )
        return bodies.typed(
            parsed,
            expected,
            shape=rules.shape_of(expected) if kind else rules.shape(self.resource),
            field_validation=call.options.field_validation,
            warnings=call.warnings,
        )

    def answer(self, call: Call, obj: JsonObject, *, code: int = HTTPStatus.OK) -> web.Response:
        """Return an object that was written, as the client wants it."""
        form = self.form
        shown = self.presenter(form).shown(rules.served_form(self.resource, obj))
        return answer_object(self.http, shown, code=code, form=form, warnings=call.warnings)


async def read_body(request: web.BaseRequest) -> bytes:
    """Return the body of a request.

    Raises:
        ApiError: 413.
    """
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise bodies.too_large(bodies.BODY_BYTES_MAX) from None


async def serve(asked: Asked) -> web.StreamResponse:
    """Answer a request on a resource itself.

    Raises:
        ApiError: it cannot be served.
    """
    verb = asked.info.verb
    handler = _HANDLERS.get(verb)
    if handler is None or verb not in asked.resource.verbs:
        raise method_not_allowed()
    return await handler(asked)


async def _get(asked: Asked) -> web.StreamResponse:
    form = asked.form
    version = asked.http.query.get("resourceVersion", "")
    entry = await reading.get(asked.call(), options.revision_of(version) if version else None)
    return answer(asked.http, asked.presenter(form).object_bytes(entry), form=form)


async def _list(asked: Asked) -> web.StreamResponse:
    form = asked.form
    wanted = list_options(asked.http.query, is_watch=False)
    chosen = selection(asked.resource, wanted.label_selector, wanted.field_selector)
    call = asked.call()
    _narrow(call, chosen)
    listed = await reading.list_objects(call, wanted, chosen)
    body = asked.presenter(form).list_bytes(listed.entries, listed.meta)
    return answer(asked.http, body, form=form)


def _narrow(call: Call, chosen: Selection) -> None:
    """Look only where a field selector lets anything be."""
    if call.resource.is_namespaced and not call.namespace and chosen.namespace:
        call.namespace = chosen.namespace


async def _watch(asked: Asked) -> web.StreamResponse:
    form = asked.form
    wanted = list_options(asked.http.query, is_watch=True)
    chosen = selection(asked.resource, wanted.label_selector, wanted.field_selector)
    call = asked.call()
    _narrow(call, chosen)
    if asked.info.name:
        chosen = selection(
            asked.resource, wanted.label_selector, f"metadata.name={asked.info.name}"
        )
    watch = watching.Watch(call, wanted, chosen, asked.presenter(form))
    await watch.begin()
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.headers["Cache-Control"] = "no-cache, private"
    response.enable_chunked_encoding()
    try:
        await response.prepare(asked.http)
        async for chunk in watch.lines():
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        return response  # the client went away
    finally:
        watch.end()
    return response


async def _create(asked: Asked) -> web.StreamResponse:
    if asked.info.name:
        raise method_not_allowed()
    call = asked.write_call()
    obj = await asked.object(call)
    written = await writing.create(call, obj)
    return asked.answer(call, written.obj, code=HTTPStatus.CREATED)


async def _update(asked: Asked) -> web.StreamResponse:
    call = asked.write_call()
    obj = await asked.object(call)

    async def make(_: JsonObject) -> JsonObject:
        return obj

    written = await writing.update(call, make, may_create=asked.resource.creates_on_update)
    return asked.answer(
        call, written.obj, code=HTTPStatus.CREATED if written.is_created else HTTPStatus.OK
    )


async def _patch(asked: Asked) -> web.StreamResponse:
    call = asked.write_call()
    written = await patched(asked, call, is_status=False)
    return asked.answer(
        call, written.obj, code=HTTPStatus.CREATED if written.is_created else HTTPStatus.OK
    )


async def read_patch(asked: Asked, call: Call, *, kind: str = "") -> patching.Patch:
    """Return the patch in the body.

    Raises:
        ApiError: 400, 413, 415.
    """
    return patching.read(
        await asked.body(),
        content_type(asked.http.headers.get("Content-Type", "")),
        kind=kind or call.resource.kind,
        is_custom=call.resource.is_custom,
    )


async def patched(asked: Asked, call: Call, *, is_status: bool) -> writing.Written:
    """Apply the patch in the body to the object or its status.

    Raises:
        ApiError: the patch cannot be read, does not fit, or makes something that may not be.
    """
    patch = await read_patch(asked, call)
    if patch.media_type == APPLY_YAML:
        return await _applied(asked, call, patch, is_status=is_status)
    apply = patching.function(call, patch, patching.Target.of(call.resource))

    async def make(live: JsonObject) -> JsonObject:
        return apply(rules.served_form(call.resource, live))

    return await writing.update(call, make, is_status=is_status)


async def _applied(
    asked: Asked, call: Call, patch: patching.Patch, *, is_status: bool
) -> writing.Written:
    make = patching.application(call, patch, is_status=is_status)

    async def change(live: JsonObject) -> JsonObject:
        return make(rules.served_form(call.resource, live) if live else None)

    return await writing.update(
        call, change, may_create=not is_status, owns=rules.owned_already, is_status=is_status
    )


async def _delete(asked: Asked) -> web.StreamResponse:
    wanted = await deletion(asked)
    call = asked.call(WriteOptions(is_dry_run=wanted.is_dry_run))
    obj, is_gone = await deleting.delete(call, wanted)
    if is_gone and not strategy_of(asked.resource).returns_deleted_object:
        group, plural = asked.resource.group, asked.resource.plural
        status = success(call.name, group, plural, obj["metadata"]["uid"])
        return answer_object(asked.http, status, form=_plain(asked.form))
    return asked.answer(call, obj)


def _plain(form: Form) -> Form:
    return Form(is_yaml=form.is_yaml)


async def deletion(asked: Asked) -> DeleteOptions:
    """Return the options of a delete, from its query and body.

    Raises:
        ApiError: 400, 422.
    """
    body = await asked.body()
    value: JsonObject = {}
    if body.strip():
        media_type = content_type(asked.http.headers.get("Content-Type", ""))
        parsed = bodies.parse(body, media_type, DELETE_OPTIONS)
        value = parsed.value
        if value.get("kind") not in (None, "", "DeleteOptions"):
            raise bad_request(f'no kind "{value["kind"]}" is registered for DeleteOptions')
    query = asked.http.query
    return delete_options(query, query.getall("dryRun", []), value)


async def _delete_collection(asked: Asked) -> web.StreamResponse:
    form = asked.form
    wanted = await deletion(asked)
    listing = list_options(asked.http.query, is_watch=False)
    chosen = selection(asked.resource, listing.label_selector, listing.field_selector)
    call = asked.call(WriteOptions(is_dry_run=wanted.is_dry_run))
    entries, revision = await deleting.delete_collection(call, wanted, listing, chosen)
    meta = ListMeta(revision=revision)
    return answer(asked.http, asked.presenter(form).list_bytes(entries, meta), form=form)


Handler = Callable[[Asked], Awaitable[web.StreamResponse]]
_HANDLERS: Mapping[str, Handler] = {
    "get": _get,
    "list": _list,
    "watch": _watch,
    "create": _create,
    "update": _update,
    "patch": _patch,
    "delete": _delete,
    "deletecollection": _delete_collection,
}
