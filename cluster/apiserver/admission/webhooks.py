"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: others are asked, over HTTPS."""

import asyncio
import base64
import ssl
from collections.abc import Iterator

import aiohttp

from cluster.apiserver.admission.plugin import Attributes, Plugin
from cluster.apiserver.services import Services
from cluster.apiserver.wire_form import encode
from cluster.kube_api import webhooks
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.decoding import decoded
from cluster.kube_api.objects import JsonObject, copied, list_at, object_at, same, string_at
from cluster.kube_api.resource import Resource
from cluster.kube_api.schema import schema_of
from cluster.kube_api.webhooks import Answer, CallFailed, Request

_GROUP = "admissionregistration.k8s.io"
_MUTATING = BY_PLURAL[_GROUP, "v1", "mutatingwebhookconfigurations"]
_VALIDATING = BY_PLURAL[_GROUP, "v1", "validatingwebhookconfigurations"]
_NAMESPACES = BY_PLURAL["", "v1", "namespaces"]
_ENDPOINTS = BY_PLURAL["", "v1", "endpoints"]
_SERVICES = BY_PLURAL["", "v1", "services"]
ANSWER_BYTES_MAX = 3 * 1024 * 1024
TIMEOUT_S = 10


class _Webhooks(Plugin):
    def __init__(self, services: Services, configurations: Resource) -> None:
        self._services = services
        self._configurations = configurations

    def _asked(self, request: Request) -> list[JsonObject]:
        """Return the webhooks that a request concerns, in the order of their configurations."""
        return [webhook for webhook in self._all() if webhooks.is_asked(webhook, request)]

    def _all(self) -> Iterator[JsonObject]:
        prefix = self._services.prefix(self._configurations)
        for entry in self._services.cache.range(prefix):
            yield from list_at(entry.decoded(), "webhooks")

    def _request(self, attributes: Attributes) -> Request:
        resource, labels = attributes.resource, None
        if resource.is_namespaced:
            key = self._services.key(_NAMESPACES, "", attributes.namespace)
            entry = self._services.cache.get(key)
            labels = {} if entry is None else entry.labels
        return Request(
            uid=self._services.uid(),
            resource=resource,
            subresource=attributes.subresource,
            name=attributes.name,
            namespace=attributes.namespace,
            operation=attributes.operation.value,
            user=attributes.user.to_json(),
            obj=attributes.obj,
            old=attributes.old,
            is_dry_run=attributes.is_dry_run,
            namespace_labels=labels,
        )

    async def _ask(self, webhook: JsonObject, attributes: Attributes) -> Answer | None:
        """Return what a webhook answers; None if it failed and that does not matter.

        Raises:
            ApiError: 400, no dry runs; 500, it failed and that matters.
        """
        request = self._request(attributes)
        try:
            if not webhooks.meets_conditions(webhook, request):
                return None
            webhooks.check_dry_run(webhook, request)
            body = await self._sent(webhook, encode(webhooks.review(request)))
            answer = webhooks.answered(webhook, request, body)
        except CallFailed as failure:
            error = webhooks.failed(webhook, str(failure))
            if error is not None:
                raise error from None
            return None
        attributes.warnings += answer.warnings
        if answer.refusal is not None:
            raise answer.refusal
        return answer

    async def _sent(self, webhook: JsonObject, body: bytes) -> bytes:
        client = object_at(webhook, "clientConfig")
        url, server_name = self._place(client)
        timeout_s = webhook.get("timeoutSeconds") or TIMEOUT_S
        try:
            context = _context(string_at(client, "caBundle")) if url.startswith("https:") else None
            timeout = aiohttp.ClientTimeout(total=float(timeout_s))
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.post(
                    url,
                    data=body,
                    headers={"Content-Type": "application/json", "Accept": "application/json"},
                    ssl=context if context is not None else True,
                    server_hostname=server_name,
                    allow_redirects=False,
                ) as response,
            ):
                answer = await _bounded(response)
                if response.status != 200:  # noqa: PLR2004
                    raise CallFailed(f"Post {url!r}: status {response.status}")
                return answer
        except TimeoutError:
            raise CallFailed(f"Post {url!r}: context deadline exceeded") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallFailed(f"Post {url!r}: {error}") from None

    def _place(self, client: JsonObject) -> tuple[str, str | None]:
        """Return the URL of a webhook, and the name that its certificate has to have."""
        url = string_at(client, "url")
        if url:
            return url, None
        service = object_at(client, "service")
        namespace, name = string_at(service, "namespace"), string_at(service, "name")
        port = service.get("port") or 443
        path = string_at(service, "path").lstrip("/")
        host, number = self._backend(namespace, name, int(port))
        shown = f"[{host}]" if ":" in host else host
        return f"https://{shown}:{number}/{path}", f"{name}.{namespace}.svc"

    def _backend(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Return an address behind a service: nothing else routes its own address here."""
        service = self._services.cache.get(self._services.key(_SERVICES, namespace, name))
        if service is None:
            raise CallFailed(f'service "{name}" not found')
        ports = list_at(service.decoded(), "spec", "ports")
        wanted = next((one for one in ports if one.get("port") == port), None)
        if wanted is None:
            raise CallFailed(f'no service port {port} found for service "{name}"')
        entry = self._services.cache.get(self._services.key(_ENDPOINTS, namespace, name))
        for subset in list_at(entry.decoded(), "subsets") if entry is not None else ():
            for address in list_at(subset, "addresses"):
                for backend in list_at(subset, "ports"):
                    if string_at(backend, "name") == string_at(wanted, "name"):
                        return string_at(address, "ip"), int(backend["port"])
        raise CallFailed(f'no endpoints available for service "{name}"')


def _context(bundle: str) -> ssl.SSLContext:
    """Return what a webhook's certificate is judged by: its own bundle, or the machine's."""
    context = ssl.create_default_context()
    if bundle:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=base64.b64decode(bundle).decode())
    return context


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise CallFailed(f"its answer is longer than {ANSWER_BYTES_MAX} bytes")
    return body


def _typed(patched: JsonObject, resource: Resource) -> JsonObject:
    """Return what a webhook made as an object of its kind; custom ones are pruned later."""
    schema = None if resource.is_custom else schema_of(resource.gvk)
    return patched if schema is None else decoded(patched, schema, resource.gvk)[0]


class MutatingWebhooks(_Webhooks):
    """Asks webhooks one after the other; each sees what those before it made."""

    def __init__(self, services: Services) -> None:
        super().__init__(services, _MUTATING)

    async def mutate(self, attributes: Attributes) -> None:
        """Let webhooks patch the object; some once more, if others changed it after them."""
        asked = self._asked(self._request(attributes))
        seen = await self._round(asked, attributes)
        again = [
            webhook
            for webhook in asked
            if string_at(webhook, "reinvocationPolicy") == "IfNeeded"
            and not same(seen[string_at(webhook, "name")], attributes.obj)
        ]
        await self._round(again, attributes)

    async def _round(
        self, asked: list[JsonObject], attributes: Attributes
    ) -> dict[str, JsonObject | None]:
        """Ask each; return what each left, by its name."""
        left = {}
        for webhook in asked:
            answer = await self._ask(webhook, attributes)
            if answer is not None and answer.obj is not None and attributes.obj is not None:
                patched = _typed(answer.obj, attributes.resource)
                attributes.obj.clear()
                attributes.obj.update(patched)
            left[string_at(webhook, "name")] = copied(attributes.obj)
        return left


class ValidatingWebhooks(_Webhooks):
    """Asks all webhooks at once; one refusal is enough."""

    def __init__(self, services: Services) -> None:
        super().__init__(services, _VALIDATING)

    async def validate(self, attributes: Attributes) -> None:
        """Raise what the first webhook says that does not allow the request."""
        asked = self._asked(self._request(attributes))
        answers = await asyncio.gather(
            *(self._ask(webhook, attributes) for webhook in asked), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
