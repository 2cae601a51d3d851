"""What all requests share: the store, the cache, time and chance, the resources that are served."""

import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Network

from cluster.apiserver.admission.plugin import Attributes, Plugin
from cluster.apiserver.storage import Store
from cluster.apiserver.tokens import TokenSigner
from cluster.apiserver.watch_cache import WatchCache
from cluster.kube_api.names import GENERATED_ALPHABET, GENERATED_SUFFIX_CHARS, generated
from cluster.kube_api.resource import Resource
from kvstore.base.clock import Clock
from kvstore.base.entropy import Entropy

READ_TIMEOUT_S = 3.0
"""How long a request waits for the cache to reach the revision it needs."""


class Resources:
    """Which resources are served: the built-in ones and, as they come and go, custom ones."""

    def __init__(self, built_in: Iterable[Resource]) -> None:
        self._built_in = tuple(built_in)
        self._custom: tuple[Resource, ...] = ()
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self.generation = 0
        """Counts the changes, for whoever derives something from the set."""
        self._index()

    def __iter__(self) -> Iterator[Resource]:
        yield from self._built_in
        yield from self._custom

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return a resource by its place in a URL."""
        return self._by_path.get((group, version, plural))

    def has_version(self, group: str, version: str) -> bool:
        """Whether anything is served under a group version."""
        return any(key[:2] == (group, version) for key in self._by_path)

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return a resource by the type of its objects."""
        return next((r for r in self if r.api_version == api_version and r.kind == kind), None)

    def set_custom(self, custom: Sequence[Resource]) -> None:
        """Replace all custom resources."""
        self._custom = tuple(custom)
        self._index()

    def _index(self) -> None:
        self._by_path = {(r.group, r.version, r.plural): r for r in self}
        self.generation += 1


@dataclass(slots=True, kw_only=True)
class Services:
    """One of each, for the life of the server."""

    store: Store
    cache: WatchCache
    clock: Clock
    entropy: Entropy
    resources: Resources
    root: str = "/registry/"
    plugins: list[Plugin] = field(default_factory=list)
    signer: TokenSigner | None = None
    """Makes the tokens of service accounts, if there is a key for it."""
    kubelet_tls: ssl.SSLContext | None = None
    """How kubelets are met; None: without TLS."""
    service_network: IPv4Network = field(default_factory=lambda: IPv4Network("10.96.0.0/12"))

    def prefix(self, resource: Resource, namespace: str = "") -> str:
        """Return what the keys of a resource begin with, in one namespace or all."""
        prefix = f"{self.root}{resource.key_prefix}/"
        return f"{prefix}{namespace}/" if namespace else prefix

    def key(self, resource: Resource, namespace: str, name: str) -> str:
        """Return the key of an object."""
        return f"{self.prefix(resource, namespace if resource.is_namespaced else '')}{name}"

    def now(self) -> str:
        """Return the time as objects carry it."""
        return timestamp(self.clock.unix())

    def uid(self) -> str:
        """Return a new random UUID (version 4)."""
        bits = self.entropy.bits(128)
        bits = bits & ~(0xF << 76) | (0x4 << 76)
        bits = bits & ~(0x3 << 62) | (0x2 << 62)
        text = f"{bits:032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def generated_name(self, base: str) -> str:
        """Return a name from `metadata.generateName`."""
        alphabet = len(GENERATED_ALPHABET)
        dice = [int(self.entropy.fraction() * alphabet) for _ in range(GENERATED_SUFFIX_CHARS)]
        return generated(base, dice)

    async def mutate(self, attributes: Attributes) -> None:
        """Let every plugin change the object."""
        for plugin in self.plugins:
            await plugin.mutate(attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Let every plugin refuse the request."""
        for plugin in self.plugins:
            await plugin.validate(attributes)

    async def created(self, attributes: Attributes) -> None:
        """Let every plugin make what belongs to a new object."""
        for plugin in self.plugins:
            await plugin.created(attributes)


def timestamp(unix_s: float) -> str:
    """Return an instant as RFC 3339 in whole seconds."""
    return datetime.fromtimestamp(int(unix_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix_of(text: str) -> float:
    """Return the instant that an RFC 3339 text says."""
    return datetime.fromisoformat(text).timestamp()
