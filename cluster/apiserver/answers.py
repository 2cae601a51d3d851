"""Answers over HTTP: objects, errors, text; indented for people, YAML for who asks for it."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import yaml
from aiohttp import web

from cluster.apiserver.negotiation import JSON, YAML, Form
from cluster.apiserver.routes import is_true
from cluster.apiserver.wire_form import encode
from cluster.kube_api.errors import ApiError
from cluster.kube_api.objects import JsonObject

_PEOPLE = ("curl/", "Mozilla/", "Wget/")
WARNING_CHARS_MAX = 1024


def answer(  # noqa: PLR0913  each a keyword, with a default
    request: web.BaseRequest,
    body: bytes,
    *,
    code: int = HTTPStatus.OK,
    form: Form | None = None,
    warnings: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return JSON bytes as the client wants to read them."""
    content_type = JSON
    if form is not None and form.is_yaml:
        body, content_type = yaml.dump(json.loads(body), Dumper=yaml.CSafeDumper).encode(), YAML
    elif wants_indented(request):
        body = json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode() + b"\n"
    elif not body.endswith(b"\n"):
        body += b"\n"
    response = web.Response(status=code, body=body, headers=headers)
    response.headers.setdefault("Content-Type", content_type)
    response.headers["Cache-Control"] = "no-cache, private"
    for warning in warnings:
        response.headers.add("Warning", f"299 - {_quoted(warning)}")
    return response


def answer_object(
    request: web.BaseRequest,
    obj: JsonObject,
    *,
    code: int = HTTPStatus.OK,
    form: Form | None = None,
    warnings: Sequence[str] = (),
) -> web.Response:
    """Return an object."""
    return answer(request, encode(obj), code=code, form=form, warnings=warnings)


def answer_error(request: web.BaseRequest, error: ApiError) -> web.Response:
    """Return the Status of an error."""
    response = answer_object(request, error.status(), code=error.code)
    if error.retry_after_s:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def answer_text(text: str, *, code: int = HTTPStatus.OK) -> web.Response:
    """Return plain text."""
    response = web.Response(status=code, text=text, content_type="text/plain")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def not_found_text() -> web.Response:
    """Return what is said of a path that nothing serves."""
    return answer_text("404 page not found\n", code=HTTPStatus.NOT_FOUND)


def wants_indented(request: web.BaseRequest) -> bool:
    """Whether a person reads the answer."""
    pretty = request.query.get("pretty")
    if pretty is not None:
        return is_true(pretty or "true")
    return request.headers.get("User-Agent", "").startswith(_PEOPLE)


def _quoted(text: str) -> str:
    """Return a quoted-string of RFC 9110; what no header may hold is left out."""
    printable = "".join(char for char in text if char.isprintable())[:WARNING_CHARS_MAX]
    escaped = printable.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
