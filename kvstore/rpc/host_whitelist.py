"""Which host names an HTTP request without TLS may bear (`--host-whitelist`).

A page of another site can make a browser send requests to an address of its owner's choice (DNS
rebinding); what it cannot forge is the Host header. With TLS the certificate says as much.
"""

from collections.abc import Collection

from kvstore.rpc.call import HttpHandler, HttpRequest, HttpResponse, Respond

_ANY = "*"
_STATUS = 421
_TEXT = (
    "request to {host!r} not allowed by host-whitelist\n"
    "Name the host in --host-whitelist, or use TLS.\n"
)


class HostWhitelist:
    """A handler in front of another one, for ports without TLS."""

    def __init__(self, handle: HttpHandler, hosts: Collection[str]) -> None:
        """`hosts`: names without ports; `*`, or none at all, for any."""
        self._handle = handle
        self._hosts = frozenset(hosts)

    def __call__(self, request: HttpRequest, respond: Respond) -> None:
        """Answer one request, or refuse it for its host."""
        if not self._hosts or _ANY in self._hosts or request.is_secure:
            self._handle(request, respond)
            return
        host = _without_port(request.headers.get("host", ""))
        if host in self._hosts:
            self._handle(request, respond)
        else:
            text = _TEXT.format(host=host)
            respond(HttpResponse(status=_STATUS, body=text.encode()))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdecimal() else host
