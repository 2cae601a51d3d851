"""How a pod's processes resolve names: what their `/etc/resolv.conf` says. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at

RESOLV_CONF = "/etc/resolv.conf"
SERVERS_MAX = 3
"""More than these, resolvers do not ask."""
_DOTS = "ndots:5"


@dataclass(frozen=True, slots=True)
class Resolver:
    """Of a resolv.conf."""

    servers: Sequence[str] = ()
    searches: Sequence[str] = ()
    options: Sequence[str] = ()

    def text(self) -> str:
        """Return the file."""
        lines = [f"nameserver {one}" for one in self.servers[:SERVERS_MAX]]
        if self.searches:
            lines.append(f"search {' '.join(self.searches)}")
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "".join(f"{line}\n" for line in lines)


def read(text: str) -> Resolver:
    """Read the machine's own file."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        word, *rest = line.split() or [""]
        if word == "nameserver" and rest:
            servers.append(rest[0])
        elif word in ("search", "domain"):
            searches = rest
        elif word == "options":
            options += rest
    return Resolver(servers, searches, options)


def resolver_of(pod: JsonObject, cluster: str, domain: str, machine: Resolver) -> Resolver | None:
    """Return what a pod's processes are to use; None: what the machine uses.

    `cluster` is the address of the cluster's server, which answers for `domain` only: the
    machine's servers come after it. Without one, only `dnsConfig` makes a difference.
    """
    policy = string_at(pod, "spec", "dnsPolicy") or "ClusterFirst"
    is_host = member(pod, "spec", "hostNetwork") is True
    extra = object_at(pod, "spec", "dnsConfig")
    if policy == "None":
        base = Resolver()
    elif not cluster or policy == "Default" or (policy == "ClusterFirst" and is_host):
        if not extra:
            return None
        base = machine
    else:
        namespace = string_at(pod, "metadata", "namespace")
        ours = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain]
        servers = [cluster, *(one for one in machine.servers if one != cluster)]
        base = Resolver(servers, [*ours, *machine.searches], [_DOTS])
    return Resolver(
        _unique([*base.servers, *map(str, list_at(extra, "nameservers"))]),
        _unique([*base.searches, *map(str, list_at(extra, "searches"))]),
        _options(base.options, list_at(extra, "options")),
    )


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _options(base: Sequence[str], more: Sequence[JsonObject]) -> list[str]:
    """Return all options; of one name the pod's own counts."""
    found = {one.partition(":")[0]: one for one in base}
    for one in more:
        name, value = string_at(one, "name"), string_at(one, "value")
        found[name] = f"{name}:{value}" if value else name
    return list(found.values())
