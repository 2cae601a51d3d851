"""`pods/log`: what a container has said, read from the kubelet of its node and passed on."""

from collections.abc import Sequence
from dataclasses import replace

import aiohttp
from aiohttp import web

from cluster.apiserver.objects_api import Asked
from cluster.apiserver.registry.reading import get
from cluster.apiserver.wire_form import object_of
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.errors import ApiError, bad_request, internal
from cluster.kube_api.objects import JsonObject, integer_at, list_at, object_at, string_at

_NODES = BY_PLURAL["", "v1", "nodes"]
_PASSED_ON = (
    "follow",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "tailLines",
    "timestamps",
)
_CHUNK_BYTES = 64 * 1024
_ADDRESS_ORDER = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")
_DIAL_TIMEOUT_S = 10.0


async def logs(asked: Asked) -> web.StreamResponse:
    """Answer with the lines, as they come if the client follows.

    Raises:
        ApiError: 400, 404; 500 when the kubelet does not answer.
    """
    call = asked.call()
    entry = await get(call, None)
    pod = object_of(entry.value, entry.revision)
    query = asked.http.query
    container = chosen_container(pod, query.get("container", ""))
    waiting = why_waiting(pod, container)
    if not string_at(pod, "spec", "nodeName"):
        raise bad_request(f"pod {call.name} does not have a host assigned")
    if waiting:
        text = f'container "{container}" in pod "{call.name}" is waiting to start: {waiting}'
        raise bad_request(text)
    node = await node_of(asked, pod)
    passed = {name: query[name] for name in _PASSED_ON if name in query}
    path = f"/containerLogs/{call.namespace}/{call.name}/{container}"
    return await _relay(asked, node, path, passed)


def chosen_container(pod: JsonObject, wanted: str) -> str:
    """Return whose log is meant.

    Raises:
        ApiError: 400; there is none of that name, or several and none was named.
    """
    name = string_at(pod, "metadata", "name")
    mains = [string_at(one, "name") for one in list_at(pod, "spec", "containers")]
    inits = [string_at(one, "name") for one in list_at(pod, "spec", "initContainers")]
    if wanted:
        if wanted not in mains + inits:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(mains) == 1 and not inits:
        return mains[0]
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(mains)}]"
    if inits:
        text += f" or one of the init containers: [{' '.join(inits)}]"
    raise bad_request(text)


def why_waiting(pod: JsonObject, container: str) -> str:
    """Return why a container has not run yet; empty if it has."""
    statuses: Sequence[JsonObject] = list_at(pod, "status", "containerStatuses")
    statuses = [*statuses, *list_at(pod, "status", "initContainerStatuses")]
    for one in statuses:
        if string_at(one, "name") == container and not object_at(one, "lastState", "terminated"):
            return string_at(one, "state", "waiting", "reason")
    return ""


async def node_of(asked: Asked, pod: JsonObject) -> JsonObject:
    """Return the node that a pod is bound to.

    Raises:
        ApiError: 404.
    """
    name = string_at(pod, "spec", "nodeName")
    call = replace(asked.call(), resource=_NODES, namespace="", name=name, subresource="")
    entry = await get(call, None)
    return object_of(entry.value, entry.revision)


def kubelet_url(node: JsonObject, *, is_tls: bool) -> str:
    """Return where a node's kubelet is; of several addresses the kind that comes first counts."""
    port = integer_at(node, "status", "daemonEndpoints", "kubeletEndpoint", "Port", default=10250)
    by_kind = {
        string_at(one, "type"): string_at(one, "address")
        for one in reversed(list_at(node, "status", "addresses"))
    }
    address = next((by_kind[kind] for kind in _ADDRESS_ORDER if by_kind.get(kind)), "")
    host = f"[{address}]" if ":" in address else address
    return f"{'https' if is_tls else 'http'}://{host}:{port}"


async def _relay(
    asked: Asked, node: JsonObject, path: str, query: dict[str, str]
) -> web.StreamResponse:
    tls = asked.services.kubelet_tls
    url = kubelet_url(node, is_tls=tls is not None) + path
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_DIAL_TIMEOUT_S)
    connector = aiohttp.TCPConnector(ssl=tls or True)
    answer: web.StreamResponse | None = None
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
            http.get(url, params=query) as found,
        ):
            if found.status >= 400:  # noqa: PLR2004 - HTTP
                raise _refused(found.status, (await found.text())[:1000])
            answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
            await answer.prepare(asked.http)
            async for chunk in found.content.iter_chunked(_CHUNK_BYTES):
                await answer.write(chunk)
    except aiohttp.ClientError as error:
        if answer is None:
            raise internal(f"Get {url!r}: {error}") from error
    assert answer is not None, "prepared or raised"
    return answer


def _refused(code: int, text: str) -> ApiError:
    return bad_request(text) if code < 500 else internal(text)  # noqa: PLR2004 - HTTP
