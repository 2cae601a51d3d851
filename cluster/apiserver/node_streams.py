"""`pods/exec`, `pods/attach`, `pods/portforward`: upgraded connections, passed on to the kubelet.

What travels over them (WebSocket messages, SPDY frames) is between the client and the kubelet: here
it is bytes. The kubelet's answer to the upgrade is the client's.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlencode, urlsplit

import h11
from aiohttp import web

from cluster.apiserver.node_logs import chosen_container, kubelet_url, node_of
from cluster.apiserver.objects_api import Asked
from cluster.apiserver.registry.reading import get
from cluster.apiserver.routes import is_true
from cluster.apiserver.wire_form import object_of
from cluster.kube_api.errors import ApiError, bad_request, internal
from cluster.kube_api.objects import JsonObject, string_at
from cluster.streaming.takeover import BUFFER_BYTES, Gone, Pipe, relay, taken_over

Query = Sequence[tuple[str, str]]
_PASSED_ON = (
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "x-stream-protocol-version",
)
_SUBPROTOCOLS = "Sec-WebSocket-Protocol"
_BEARER = "base64url.bearer.authorization.k8s.io."
_DIAL_TIMEOUT_S = 10.0
_REFUSAL_BYTES_MAX = 1000
_STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""What clients call the streams they want, and what kubelets do."""


async def run_command(asked: Asked) -> web.StreamResponse:
    """`exec`: a command in a container.

    Raises:
        ApiError: 400, 404, or what the kubelet refuses with.
    """
    commands = [("command", one) for one in asked.http.query.getall("command", [])]
    if not commands:
        raise bad_request("you must specify at least one command for the container")
    return await _in_container(asked, "exec", commands)


async def attach(asked: Asked) -> web.StreamResponse:
    """`attach`: what a container says from now on, and what it hears.

    Raises:
        ApiError: 400, 404, or what the kubelet refuses with.
    """
    return await _in_container(asked, "attach", [])


async def port_forward(asked: Asked) -> web.StreamResponse:
    """`portforward`: connections to ports of a pod.

    Raises:
        ApiError: 400, 404, or what the kubelet refuses with.
    """
    pod = await _pod(asked)
    ports = [("ports", one) for one in asked.http.query.getall("ports", [])]
    path = f"/portForward/{asked.info.namespace}/{asked.info.name}"
    return await _pass_on(asked, pod, path, ports)


async def _in_container(asked: Asked, deed: str, query: Query) -> web.StreamResponse:
    asked_for = asked.http.query
    wanted = [
        (theirs, "1") for ours, theirs in _STREAMS.items() if is_true(asked_for.get(ours, ""))
    ]
    if not {"input", "output", "error"} & {name for name, _ in wanted}:
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    pod = await _pod(asked)
    container = chosen_container(pod, asked_for.get("container", ""))
    path = f"/{deed}/{asked.info.namespace}/{asked.info.name}/{container}"
    return await _pass_on(asked, pod, path, [*query, *wanted])


async def _pod(asked: Asked) -> JsonObject:
    entry = await get(asked.call(), None)
    return object_of(entry.value, entry.revision)


async def _pass_on(asked: Asked, pod: JsonObject, path: str, query: Query) -> web.StreamResponse:
    """Ask the kubelet for the same upgrade; if it agrees, copy bytes until one side ends."""
    if "upgrade" not in asked.http.headers.get("Connection", "").lower():
        raise bad_request("Upgrade request required")
    if not string_at(pod, "spec", "nodeName"):
        name = string_at(pod, "metadata", "name")
        raise bad_request(f"pod {name} does not have a host assigned")
    tls = asked.services.kubelet_tls
    url = urlsplit(kubelet_url(await node_of(asked, pod), is_tls=tls is not None))
    try:
        async with asyncio.timeout(_DIAL_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                url.hostname, url.port, ssl=tls, limit=BUFFER_BYTES
            )
    except (OSError, TimeoutError) as error:
        raise internal(f"error dialing backend: {error!r}") from error
    try:
        kubelet = Pipe(reader, writer)
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            answered = await _upgraded(asked.http, kubelet, url.netloc, target)
        except OSError as error:
            raise internal(f"error dialing backend: {error!r}") from error
        with suppress(OSError):  # a side has gone, which ends the relay
            async with taken_over(asked.http) as client:
                await client.write(answered)
                await relay(client, kubelet)
    finally:
        writer.close()
    return Gone()


async def _upgraded(request: web.BaseRequest, kubelet: Pipe, host: str, target: str) -> bytes:
    """Send the request on; return the head of the kubelet's agreement, and what came behind it.

    Raises:
        ApiError: the kubelet does not agree.
    """
    client = h11.Connection(h11.CLIENT)
    headers = [(name, value) for name, value in _headers(request)]
    sent = client.send(
        h11.Request(
            method="GET" if request.method == "GET" else "POST",
            target=target,
            headers=[("Host", host), *headers],
        )
    )
    assert sent is not None, "a request has bytes"
    await kubelet.write(sent + (client.send(h11.EndOfMessage()) or b""))
    refusal: h11.Response | None = None
    text = b""
    while True:
        try:
            event = client.next_event()
        except h11.RemoteProtocolError as error:
            raise internal(f"unable to upgrade connection: {error}") from error
        if event is h11.NEED_DATA:
            client.receive_data(await kubelet.read())
        elif isinstance(event, h11.InformationalResponse) and event.status_code == 101:  # noqa: PLR2004 - HTTP
            return _head(event) + client.trailing_data[0]
        elif isinstance(event, h11.Response):
            refusal = event
        elif isinstance(event, h11.Data):
            text = (text + bytes(event.data))[:_REFUSAL_BYTES_MAX]
        elif refusal is not None:
            raise _refused(refusal.status_code, text.decode(errors="replace"))
        else:
            raise internal("unable to upgrade connection: the kubelet has hung up")


def _headers(request: web.BaseRequest) -> list[tuple[str, str]]:
    """Return the headers that negotiate the upgrade; who asks is no business of a kubelet."""
    found = [(name, value) for name, value in request.headers.items() if name.lower() in _PASSED_ON]
    offered = ",".join(request.headers.getall(_SUBPROTOCOLS, [])).split(",")
    protocols = [one.strip() for one in offered if not one.strip().startswith(_BEARER)]
    if any(protocols):
        found.append((_SUBPROTOCOLS, ", ".join(protocols)))
    return found


def _head(agreement: h11.InformationalResponse) -> bytes:
    lines = [b"HTTP/1.1 101 Switching Protocols"]
    lines += [
        b"%b: %b" % (bytes(name), bytes(value)) for name, value in agreement.headers.raw_items()
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _refused(code: int, text: str) -> ApiError:
    text = f"unable to upgrade connection: {text}"
    return bad_request(text) if code < 500 else internal(text)  # noqa: PLR2004 - HTTP
