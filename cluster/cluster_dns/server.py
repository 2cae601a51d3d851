"""Answers questions about a zone, by datagrams and over connections (RFC 1035, 6891, 7766)."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from cluster.cluster_dns.zone import TTL_S, Record, Zone

logger = logging.getLogger(__name__)

_DATAGRAM_BYTES = 512
_DATAGRAM_BYTES_MAX = 1232
_ALIASES_MAX = 8
_CONNECTIONS_MAX = 128
_IDLE_S = 30.0
_MESSAGE_BYTES_MIN = 12


def answer(zone: Zone, data: bytes, *, bytes_max: int = 65535) -> bytes | None:
    """Return the answer to a message; None to what no answer is due to.

    `bytes_max`: how long it may be, unless the question says; beyond it, it is cut and says so.
    """
    try:
        query = dns.message.from_wire(data)
    except dns.exception.DNSException:
        return _malformed(data)
    if query.flags & dns.flags.QR:
        return None
    response = dns.message.make_response(query)
    if query.opcode() != 0:
        response.set_rcode(dns.rcode.NOTIMP)
    elif len(query.question) != 1:
        response.set_rcode(dns.rcode.FORMERR)
    else:
        _resolve(zone, query.question[0], response)
    if bytes_max <= _DATAGRAM_BYTES and query.edns >= 0:
        bytes_max = min(max(query.payload, _DATAGRAM_BYTES), _DATAGRAM_BYTES_MAX)
    try:
        return response.to_wire(max_size=bytes_max)
    except dns.exception.TooBig:
        cut = dns.message.make_response(query)
        cut.flags |= dns.flags.TC | dns.flags.AA
        return cut.to_wire()


def _malformed(data: bytes) -> bytes | None:
    """Say that a message cannot be read, as far as it can be told whose it is."""
    if len(data) < _MESSAGE_BYTES_MIN or data[2] & 0x80:
        return None
    return data[:2] + bytes([0x80 | data[2] & 0x79, dns.rcode.FORMERR]) + bytes(8)


def _resolve(zone: Zone, question: dns.rrset.RRset, response: dns.message.Message) -> None:
    name = question.name.to_text()
    kind = dns.rdatatype.to_text(question.rdtype)
    if question.rdclass != dns.rdataclass.IN or not zone.covers(name):
        response.set_rcode(dns.rcode.REFUSED)
        return
    response.flags |= dns.flags.AA
    for _ in range(_ALIASES_MAX):
        found = zone.find(name, kind)
        if found is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
            break
        _put(response, name, found)
        aliases = [one.data for one in found if one.kind == "CNAME"]
        if not aliases or kind in ("CNAME", "ANY") or not zone.covers(aliases[0]):
            break
        name = aliases[0]
    if not response.answer:
        soa = f"ns.dns.{zone.domain} hostmaster.{zone.domain} 1 7200 1800 86400 {TTL_S}"
        response.authority.append(dns.rrset.from_text(zone.domain, TTL_S, "IN", "SOA", soa))
    elif kind == "SRV":
        _add_targets(zone, response)


def _put(response: dns.message.Message, name: str, found: list[Record]) -> None:
    for kind in sorted({one.kind for one in found}):
        texts = [one.data for one in found if one.kind == kind]
        response.answer.append(dns.rrset.from_text(name, TTL_S, "IN", kind, *texts))


def _add_targets(zone: Zone, response: dns.message.Message) -> None:
    """Spare a client the next questions: where the services that were named are."""
    targets = sorted({one.target.to_text() for rrset in response.answer for one in rrset})
    for target in targets:
        for kind in ("A", "AAAA"):
            texts = [one.data for one in zone.find(target, kind) or () if one.kind == kind]
            if texts:
                response.additional.append(dns.rrset.from_text(target, TTL_S, "IN", kind, *texts))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, zone: Callable[[], Zone]) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every loop's datagram transports say by their class that they are.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answered = answer(self._zone(), data, bytes_max=_DATAGRAM_BYTES)
        if answered is not None and self._transport is not None:
            self._transport.sendto(answered, addr)


class DnsServer:
    """Serves the zone that `zone` returns at the time of each question."""

    def __init__(self, zone: Callable[[], Zone], *, address: str, port: int) -> None:
        self._zone = zone
        self._address = address
        self.port = port
        """Where it listens; with 0, any free one, known after the start."""
        self._datagrams: asyncio.BaseTransport | None = None
        self._server: asyncio.Server | None = None
        self._connections = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken, or not for us.
        """
        self._server = await asyncio.start_server(self._serve, self._address, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        try:
            self._datagrams, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self._zone), local_addr=(self._address, self.port)
            )
        except OSError:
            self._server.close()
            raise

    async def stop(self) -> None:
        """Listen no more."""
        if self._datagrams is not None:
            self._datagrams.close()
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the questions of one connection, until it is silent for too long."""
        self._connections += 1
        try:
            if self._connections > _CONNECTIONS_MAX:
                return
            with suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
                while True:
                    async with asyncio.timeout(_IDLE_S):
                        size = int.from_bytes(await reader.readexactly(2))
                        answered = answer(self._zone(), await reader.readexactly(size))
                        if answered is None:
                            return
                        writer.write(len(answered).to_bytes(2) + answered)
                        await writer.drain()
        finally:
            self._connections -= 1
            writer.close()
