"""The client port with real sockets: grpcio and the standard library as clients of an echo."""

import asyncio
import http.client
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest

from kvstore.base.limits import Limits
from kvstore.rpc.call import (
    HttpRequest,
    HttpResponse,
    StreamCall,
    StreamMethod,
    UnaryCall,
    UnaryMethod,
)
from kvstore.server import listener as listener_module
from kvstore.server.listener import Listener
from kvstore.wire.http2.frames import (
    GOAWAY,
    HEADERS,
    PREFACE,
    PRIORITY,
    frame,
    ping_frame,
    settings_frame,
)
from tests.support.ports import free_base_port

STREAM_HEAD = b"\x83\x86\x04\x0e/t.Echo/Stream\x0f\x10\x10application/grpc"
"""The header block of a call of /t.Echo/Stream."""


class ManualClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return self.now


class Stream:
    """Echoes; a message `many:N` is answered by N messages."""

    def __init__(self, call: StreamCall) -> None:
        self.call = call
        self.is_closed = asyncio.Event()

    def message_received(self, message: bytes) -> None:
        if message.startswith(b"many:"):
            for number in range(int(message[5:])):
                self.call.send(b"%d" % number)
        elif message == b"fail":
            self.call.finish(9, "as asked: ü")
        else:
            self.call.send(message)

    def half_closed(self) -> None:
        self.call.finish()

    def drained(self) -> None:
        pass

    def closed(self) -> None:
        self.is_closed.set()


class Collect(Stream):
    """Client streaming: one message that joins all."""

    def __init__(self, call: StreamCall) -> None:
        super().__init__(call)
        self.parts: list[bytes] = []

    def message_received(self, message: bytes) -> None:
        self.parts.append(message)

    def half_closed(self) -> None:
        self.call.send(b"".join(self.parts))
        self.call.finish()


class World:
    """A listener, its address, and what its handlers saw."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = ManualClock()
        self.kept: list[UnaryCall] = []
        self.metadata: list[dict[str, str]] = []
        self.streams: list[Stream] = []
        self.listener = Listener(
            {
                "/t.Echo/Unary": UnaryMethod(self.unary),
                "/t.Echo/Keep": UnaryMethod(lambda call, _request: self.kept.append(call)),
                "/t.Echo/Fail": UnaryMethod(lambda call, _request: call.fail(9, "as asked: ü")),
                "/t.Echo/Stream": StreamMethod(self.open_stream),
                "/t.Echo/Collect": StreamMethod(Collect),
            },
            self.http,
            limits=limits or Limits(),
            clock=self.clock,
        )
        self.address = ""
        self.port = 0

    async def start(self, tls: ssl.SSLContext | None = None) -> "World":
        host, self.port = await self.listener.listen("127.0.0.1", 0, tls=tls)
        self.address = f"{host}:{self.port}"
        return self

    def unary(self, call: UnaryCall, request: bytes) -> None:
        self.metadata.append(dict(call.metadata))
        call.reply(request)

    def open_stream(self, call: StreamCall) -> Stream:
        self.streams.append(Stream(call))
        return self.streams[-1]

    def http(self, request: HttpRequest, respond: Callable[[HttpResponse], None]) -> None:
        text = f"{request.method} {request.path}?{request.query} ".encode()
        respond(HttpResponse(status=200, body=text + request.body, headers={"x-test": "1"}))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World().start()
    yield world
    await world.listener.close(grace_s=0)


@pytest.fixture
async def channel(world: World) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(
        world.address, options=[("grpc.max_receive_message_length", -1)]
    ) as channel:
        yield channel


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is another library's state
            await asyncio.sleep(0.001)


class RawClient:
    """A socket that is read to its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, world: World) -> "RawClient":
        return cls(*await asyncio.open_connection("127.0.0.1", world.port))

    async def rest(self) -> bytes:
        """Return what comes until the end, by close or by reset."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


# --- gRPC


@pytest.mark.parametrize("size", [0, 1, 5_000, 16_379, 100_000, 2_000_000])
async def test_a_unary_call_of_any_size_comes_back(channel: grpc.aio.Channel, size: int) -> None:
    echo = channel.unary_unary("/t.Echo/Unary")
    assert await echo(b"x" * size) == b"x" * size


async def test_many_calls_at_once_are_each_answered(channel: grpc.aio.Channel) -> None:
    echo = channel.unary_unary("/t.Echo/Unary")
    requests = [b"%d" % number for number in range(500)]
    assert await asyncio.gather(*(echo(request) for request in requests)) == requests


async def test_metadata_reaches_the_handler(world: World, channel: grpc.aio.Channel) -> None:
    metadata = (("token", "abc"), ("data-bin", b"\0\xff,"))
    await channel.unary_unary("/t.Echo/Unary")(b"", metadata=metadata)
    assert world.metadata[0]["token"] == "abc"
    assert world.metadata[0]["data-bin"] == "\0\xff,"


async def test_gzip_requests_are_read(channel: grpc.aio.Channel) -> None:
    echo = channel.unary_unary("/t.Echo/Unary")
    body = b"compress me " * 1000
    assert await echo(body, compression=grpc.Compression.Gzip) == body


@pytest.mark.parametrize("path", ["/t.Echo/Fail", "/t.Echo/Stream"])
async def test_failures_keep_code_and_text(channel: grpc.aio.Channel, path: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await channel.unary_unary(path)(b"fail")
    assert failure.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert failure.value.details() == "as asked: ü"


@pytest.mark.parametrize(
    ("path", "body", "code", "text"),
    [
        ("/t.Echo/No", b"", grpc.StatusCode.UNIMPLEMENTED, "unknown method No for service t.Echo"),
        ("/no.No/No", b"", grpc.StatusCode.UNIMPLEMENTED, "unknown service no.No"),
        (
            "/t.Echo/Unary",
            b"x" * 2_097_153,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "grpc: received message larger than max (2097153 vs. 2097152)",
        ),
    ],
)
async def test_refusals_keep_grpc_go_s_texts(
    channel: grpc.aio.Channel, path: str, body: bytes, code: grpc.StatusCode, text: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await channel.unary_unary(path)(body)
    assert (failure.value.code(), failure.value.details()) == (code, text)


async def test_a_deadline_ends_the_call_on_both_sides(
    world: World, channel: grpc.aio.Channel
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await channel.unary_unary("/t.Echo/Keep")(b"", timeout=0.1)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    call = world.kept[0]
    assert call.timeout_s is not None
    assert 0 < call.timeout_s <= 0.1
    await until(lambda: not call.is_open)
    call.reply(b"late")


async def test_a_call_may_be_answered_in_a_later_turn(
    world: World, channel: grpc.aio.Channel
) -> None:
    calls = [channel.unary_unary("/t.Echo/Keep")(b"") for _ in range(3)]
    tasks = [asyncio.ensure_future(call) for call in calls]
    await until(lambda: len(world.kept) == 3)
    for number, call in enumerate(reversed(world.kept)):
        call.reply(b"%d" % number)
    assert {await task for task in tasks} == {b"0", b"1", b"2"}


async def test_a_bidirectional_stream_goes_back_and_forth(channel: grpc.aio.Channel) -> None:
    stream = channel.stream_stream("/t.Echo/Stream")()
    for body in (b"a", b"b" * 100_000, b""):
        await stream.write(body)
        assert await stream.read() == body
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_server_stream_sends_all_its_messages(channel: grpc.aio.Channel) -> None:
    stream = channel.unary_stream("/t.Echo/Stream")(b"many:10000")
    assert [message async for message in stream] == [b"%d" % n for n in range(10_000)]


async def test_a_client_stream_is_collected(channel: grpc.aio.Channel) -> None:
    parts = [b"%d," % number for number in range(1000)]
    assert await channel.stream_unary("/t.Echo/Collect")(iter(parts)) == b"".join(parts)


async def test_a_cancelled_stream_reaches_its_handler(
    world: World, channel: grpc.aio.Channel
) -> None:
    stream = channel.stream_stream("/t.Echo/Stream")()
    await stream.write(b"a")
    assert await stream.read() == b"a"
    stream.cancel()
    async with asyncio.timeout(10):
        await world.streams[0].is_closed.wait()


async def test_a_lost_client_reaches_every_handler(world: World) -> None:
    client = await RawClient.connect(world)
    client.writer.write(PREFACE + settings_frame({}) + frame(HEADERS, 4, 1, STREAM_HEAD))
    await until(lambda: bool(world.streams))
    await client.close()
    async with asyncio.timeout(10):
        await world.streams[0].is_closed.wait()
    assert world.listener.connections_count == 0


async def test_a_client_that_reads_slowly_holds_its_messages_in_its_stream(world: World) -> None:
    client = await RawClient.connect(world)
    client.writer.write(PREFACE + settings_frame({}) + frame(HEADERS, 4, 1, STREAM_HEAD))
    await until(lambda: bool(world.streams))
    call = world.streams[0].call
    for _ in range(100):
        call.send(b"x" * 10_000)
    world.listener.flush()
    assert call.unsent_bytes == 100 * 10_005 - 65_535
    await client.close()
    await until(lambda: not call.is_open)
    assert call.unsent_bytes == 0


async def test_the_synchronous_client_works_too(world: World) -> None:
    def use() -> list[bytes]:
        with grpc.insecure_channel(world.address) as channel:
            echo = channel.unary_unary("/t.Echo/Unary")
            stream = channel.stream_stream("/t.Echo/Stream")
            return [echo(b"sync"), *stream(iter([b"a", b"b"]))]

    assert await asyncio.to_thread(use) == [b"sync", b"a", b"b"]


# --- HTTP


async def test_http1_is_served_on_the_same_port(world: World) -> None:
    def use() -> list[tuple[int, bytes, str | None]]:
        connection = http.client.HTTPConnection("127.0.0.1", world.port)
        answers = []
        for method, target, body in (("GET", "/a?b=c", None), ("POST", "/v3/kv/put", b"x" * 99)):
            connection.request(method, target, body)
            response = connection.getresponse()
            answers.append((response.status, response.read(), response.getheader("x-test")))
        connection.close()
        return answers

    assert await asyncio.to_thread(use) == [
        (200, b"GET /a?b=c ", "1"),
        (200, b"POST /v3/kv/put? " + b"x" * 99, "1"),
    ]


async def test_what_speaks_neither_protocol_is_cut_off(world: World) -> None:
    client = await RawClient.connect(world)
    client.writer.write(b"\x16\x03\x01\x02\x00\x01")
    assert await client.rest() == b""
    await client.close()


@pytest.mark.parametrize("size", [1, 3, 20])
async def test_the_first_bytes_may_come_in_pieces(world: World, size: int) -> None:
    client = await RawClient.connect(world)
    data = PREFACE + settings_frame({}) + frame(PRIORITY, 0, 0, b"12345")
    for start in range(0, len(data), size):
        client.writer.write(data[start : start + size])
        await asyncio.sleep(0)
    assert bytes([0, 0, 0, GOAWAY])[3:] in await client.rest()
    await client.close()


# --- time and number


async def test_a_client_that_says_nothing_is_cut_off_after_the_handshake_timeout(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await RawClient.connect(world)
    client.writer.write(PREFACE[:7])
    await until(lambda: world.listener.connections_count == 1)
    world.clock.now += 9.0
    world.listener._tick()
    assert world.listener.connections_count == 1
    world.clock.now += 2.0
    world.listener._tick()
    await until(lambda: world.listener.connections_count == 0)
    await client.close()


async def test_pings_too_often_end_in_goaway_and_close(world: World) -> None:
    client = await RawClient.connect(world)
    client.writer.write(PREFACE + settings_frame({}))
    client.writer.write(ping_frame(b"12345678", is_ack=False) * 4)
    assert (await client.rest()).endswith(b"too_many_pings")
    await client.close()


async def test_clients_over_the_file_limit_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.listener, "_connections_max", 1)
    first = await RawClient.connect(world)
    await until(lambda: world.listener.connections_count == 1)
    second = await RawClient.connect(world)
    assert await second.rest() == b""
    assert world.listener.connections_count == 1
    await first.close()
    await second.close()


def test_the_number_of_connections_leaves_files_for_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for soft, count in ((1024, 960), (64, 1), (-1, 1 << 30)):
        monkeypatch.setattr(
            listener_module.resource, "getrlimit", lambda _name, soft=soft: (soft, soft)
        )
        assert listener_module.connections_max() == count


async def test_a_port_in_use_is_not_shared(world: World) -> None:
    with pytest.raises(OSError, match="address already in use"):
        await world.listener.listen("127.0.0.1", world.port)


async def test_bytes_are_counted_both_ways(world: World, channel: grpc.aio.Channel) -> None:
    await channel.unary_unary("/t.Echo/Unary")(b"x" * 1000)
    assert world.listener.bytes_received > 1000
    assert world.listener.bytes_sent > 1000


# --- the end


async def test_a_close_lets_calls_in_progress_finish() -> None:
    world = await World().start()
    async with grpc.aio.insecure_channel(world.address) as channel:
        task = asyncio.ensure_future(channel.unary_unary("/t.Echo/Keep")(b""))
        await until(lambda: bool(world.kept))
        closing = asyncio.ensure_future(world.listener.close(grace_s=10.0))
        await asyncio.sleep(0)
        world.kept[0].reply(b"still served")
        assert await task == b"still served"
        await closing
    assert world.listener.connections_count == 0


async def test_a_close_cuts_off_what_does_not_end_in_time() -> None:
    world = await World().start()
    async with grpc.aio.insecure_channel(world.address) as channel:
        stream = channel.stream_stream("/t.Echo/Stream")()
        await stream.write(b"a")
        assert await stream.read() == b"a"
        await world.listener.close(grace_s=0.05)
        assert world.streams[0].is_closed.is_set()
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stream.read()
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE


# --- other sockets


async def test_a_unix_socket_is_served(world: World, tmp_path: Path) -> None:
    path = tmp_path / "kv.sock"
    await world.listener.listen_unix(path)
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        assert await channel.unary_unary("/t.Echo/Unary")(b"unix") == b"unix"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("tls")
    key, cert = directory / "key.pem", directory / "cert.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
        f"-keyout {key} -out {cert}"
    )
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    return cert, key


async def test_tls_chooses_the_protocol_by_alpn(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    world = await World().start(tls=context)
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    async with grpc.aio.secure_channel(f"localhost:{world.port}", credentials) as channel:
        assert await channel.unary_unary("/t.Echo/Unary")(b"x" * 50_000) == b"x" * 50_000

    def use() -> bytes:
        client_context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("127.0.0.1", world.port, context=client_context)
        connection.request("GET", "/health")
        body = connection.getresponse().read()
        connection.close()
        return body

    assert await asyncio.to_thread(use) == b"GET /health? "
    await world.listener.close(grace_s=0)


async def test_one_port_serves_clients_with_tls_and_without(
    certificate: tuple[Path, Path],
) -> None:
    cert, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    world = await World().start()
    port = free_base_port(1)
    world.listener.listen_shared("localhost", port, tls=context)
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    silent = socket.create_connection(("127.0.0.1", port))
    async with (
        grpc.aio.secure_channel(f"localhost:{port}", credentials) as secure,
        grpc.aio.insecure_channel(f"localhost:{port}") as insecure,
    ):
        for channel in (secure, insecure):
            assert await channel.unary_unary("/t.Echo/Unary")(b"x") == b"x"
    await world.listener.close(grace_s=0)
    silent.settimeout(5)
    assert await asyncio.to_thread(silent.recv, 1) == b"", "who said nothing is let go of"
    silent.close()


async def test_nagle_is_off(world: World) -> None:
    client = await RawClient.connect(world)
    await until(lambda: world.listener.connections_count == 1)
    connection = next(iter(world.listener._connections))
    assert connection._transport is not None
    sock = connection._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await client.close()
