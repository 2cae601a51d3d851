"""Who is let in over TLS, on the client port and on the peer port of a real member."""

import contextlib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from kvstore.wire.pb import rpc_pb2
from tests.conformance.auth_world import build, enable, token
from tests.support.any_rpc import AnyRpc
from tests.support.cluster_process import KVSTORED, READY_LINE, MemberProcess, Place, free_ports
from tests.support.tls_files import TlsFiles

pytestmark = pytest.mark.slow

HTTP_REQUEST = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
RANGE = "/etcdserverpb.KV/Range"
NOT_A_PEER = "closing peer connection"
"""What a member says of a peer that it has listened to and not understood."""
K1 = rpc_pb2.RangeRequest(key=b"k1")


class Member:
    """One member with mutual TLS on both ports."""

    def __init__(self, directory: Path, files: TlsFiles, *flags: str) -> None:
        client, peer = free_ports(2)
        self.files = files
        self.ports = {"client": client, "peer": peer}
        place = Place(name="m", directory=directory, client_port=client, peer_port=peer)
        urls = [
            f"--listen-client-urls=https://127.0.0.1:{client}",
            f"--advertise-client-urls=https://127.0.0.1:{client}",
            f"--listen-peer-urls=https://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=https://127.0.0.1:{peer}",
            f"--initial-cluster=m=https://127.0.0.1:{peer}",
            "--bcrypt-cost=4",
        ]
        self.process = MemberProcess(KVSTORED, place, [*urls, *files.server_flags(), *flags])
        self.process.start()
        self.process.wait_for_log(READY_LINE)

    def heard(self, port: str, name: str | None) -> bytes:
        """Shake hands, with a certificate or without, send a request; return what came back."""
        context = ssl.create_default_context(cafile=self.files.path("ca"))
        if name is not None:
            context.load_cert_chain(*self.files.pair(name))
        try:
            with (
                socket.create_connection(("127.0.0.1", self.ports[port]), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
            ):
                secured.sendall(HTTP_REQUEST)
                return secured.recv(1000)
        except (ssl.SSLError, ConnectionError):
            return b""

    def heard_in_the_clear(self, port: str) -> bytes:
        """Send a request without TLS; return what came back."""
        with socket.create_connection(("127.0.0.1", self.ports[port]), timeout=10) as plain:
            plain.sendall(HTTP_REQUEST)
            with contextlib.suppress(ConnectionError):
                return plain.recv(1000)
        return b""

    def rpc(self, name: str = "client") -> AnyRpc:
        """Calls with a certificate."""
        certificate, key = self.files.pair(name)
        credentials = grpc.ssl_channel_credentials(
            Path(self.files.path("ca")).read_bytes(),
            Path(key).read_bytes(),
            Path(certificate).read_bytes(),
        )
        return AnyRpc(f"127.0.0.1:{self.ports['client']}", credentials)

    def close(self) -> None:
        """End the process."""
        self.process.kill()


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    files = TlsFiles(tmp_path_factory.mktemp("certificates"))
    member = Member(tmp_path_factory.mktemp("member"), files)
    yield member
    member.close()


BAD = ["foreign", "expired", "revoked", "wrong-name", None]


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("port", ["client", "peer"])
def test_who_does_not_belong_is_told_nothing(member: Member, port: str, name: str | None) -> None:
    before = member.process.log().count(NOT_A_PEER)

    assert member.heard(port, name) == b""

    # Nor is the request looked at: it is none that a peer would send.
    assert member.process.log().count(NOT_A_PEER) == before


@pytest.mark.parametrize("port", ["client", "peer"])
def test_who_speaks_in_the_clear_is_told_nothing(member: Member, port: str) -> None:
    # A TLS alert may come back: seven bytes that begin with its type, 21.
    assert member.heard_in_the_clear(port)[:1] in (b"", b"\x15")


def test_who_belongs_is_served_by_http_and_grpc_on_one_port(member: Member) -> None:
    assert member.heard("client", "client").startswith(b"HTTP/1.1 200")
    member.heard("peer", "client")
    member.process.wait_for_log(NOT_A_PEER)
    rpc = member.rpc()
    assert rpc.call(RANGE, K1).code == "OK"
    rpc.close()


def wait_until(condition, message: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)


def served_serial(member: Member) -> int:
    context = ssl.create_default_context(cafile=member.files.path("ca"))
    context.load_cert_chain(*member.files.pair("client"))
    with (
        socket.create_connection(("127.0.0.1", member.ports["client"]), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        certificate = secured.getpeercert()
        assert certificate is not None
        return int(str(certificate["serialNumber"]), 16)


def test_certificates_and_revocations_change_without_a_restart(tmp_path: Path) -> None:
    (tmp_path / "certificates").mkdir()
    files = TlsFiles(tmp_path / "certificates")
    member = Member(tmp_path / "member", files)
    try:
        fresh = files.make("member", "member", ["localhost", "127.0.0.1"])
        wait_until(
            lambda: served_serial(member) == fresh.certificate.serial_number, "the former one"
        )

        last = files.make("last", "member", ["127.0.0.1", "client.example"])
        assert member.heard("client", "last").startswith(b"HTTP/1.1 200")
        files.revoke(files.revoked, last)
        wait_until(lambda: member.heard("client", "last") == b"", "still let in")
        assert member.heard("client", "client").startswith(b"HTTP/1.1 200")

        Path(files.path("member")).write_text("no certificate")
        member.process.wait_for_log("the former ones stay in use")
        assert member.heard("client", "client").startswith(b"HTTP/1.1 200")
    finally:
        member.close()


def test_the_name_in_a_certificate_is_a_users(tmp_path: Path) -> None:
    (tmp_path / "certificates").mkdir()
    files = TlsFiles(tmp_path / "certificates")
    member = Member(tmp_path / "member", files)
    for name in ("reader", "stranger", "root", "unknown"):
        files.make(name, name, ["127.0.0.1", "client.example"])
    calls = {name: member.rpc(name) for name in ("reader", "stranger", "root", "unknown")}
    try:
        build(calls["root"])
        enable(calls["root"])

        decisions = {name: rpc.call(RANGE, K1).code for name, rpc in calls.items()}
        assert decisions == {
            "reader": "OK",
            "stranger": "PERMISSION_DENIED",
            "root": "OK",
            "unknown": "PERMISSION_DENIED",
        }
        # A token goes before the certificate.
        login = token(calls["stranger"], "reader")
        assert calls["stranger"].call(RANGE, K1, login).code == "OK"
    finally:
        for rpc in calls.values():
            rpc.close()
        member.close()


def test_a_cluster_with_tls_everywhere_takes_one_command(tmp_path: Path) -> None:
    base = str(free_ports(1)[0])
    directory = tmp_path / "cluster"
    kvstore = [sys.executable, "-m", "kvstore.cli.umbrella", "local"]
    where = ["--dir", str(directory)]
    environment = {"KVSTORECTL_PROFILE": str(directory / "profile.json"), "PATH": ""}
    ctl = [sys.executable, "-m", "kvstore.cli.control"]

    def ran(*command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        ready = ran(*kvstore, "up", "-n", "3", "--tls", "-d", "--base-port", base, *where)
        assert ready.splitlines()[-1].startswith("ready: https://127.0.0.1:")
        assert ran(*ctl, "put", "greeting", "hello") == "OK\n"
        assert ran(*ctl, "get", "greeting") == "greeting\nhello\n"
        assert ran(*kvstore, "ls", *where).count("healthy") == 3
    finally:
        subprocess.run([*kvstore, "stop", *where], capture_output=True, check=False, timeout=60)
