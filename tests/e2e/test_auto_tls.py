"""Members that make their own certificates."""

import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.cluster_process import KVSTORED, READY_LINE, MemberProcess, Place, free_ports

pytestmark = pytest.mark.slow


def _put(endpoint: str, *flags: str) -> str:
    command = [sys.executable, "-m", "kvstore.cli.control", f"--endpoints=https://{endpoint}"]
    options = ["--insecure-transport=false", "--command-timeout=2s", *flags]
    run = subprocess.run(
        [*command, *options, "put", "k", "v"], capture_output=True, text=True, check=False
    )
    return run.stdout or run.stderr


def test_members_with_automatic_tls_find_each_other_and_serve(tmp_path: Path) -> None:
    ports = free_ports(4)
    cluster = ",".join(f"m{n}=https://127.0.0.1:{ports[2 * n + 1]}" for n in range(2))
    members = []
    for number in range(2):
        client, peer = ports[2 * number : 2 * number + 2]
        place = Place(
            name=f"m{number}",
            directory=tmp_path / f"m{number}",
            client_port=client,
            peer_port=peer,
        )
        flags = [
            f"--listen-client-urls=https://127.0.0.1:{client}",
            f"--advertise-client-urls=https://127.0.0.1:{client}",
            f"--listen-peer-urls=https://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=https://127.0.0.1:{peer}",
            f"--initial-cluster={cluster}",
            "--auto-tls",
            "--peer-auto-tls",
        ]
        members.append(MemberProcess(KVSTORED, place, flags))
    try:
        for member in members:
            member.start()
        for member in members:
            member.wait_for_log(READY_LINE)
            certificate = member.data_dir / "fixtures" / "client" / "cert.pem"
            assert (certificate.parent / "key.pem").stat().st_mode & 0o077 == 0
            context = ssl.create_default_context(cafile=str(certificate))
            with urllib.request.urlopen(
                f"https://{member.endpoint}/health", context=context, timeout=10
            ) as answer:
                assert b'"health":"true"' in answer.read()
        assert _put(members[0].endpoint, "--insecure-skip-tls-verify") == "OK\n"
        assert "context deadline exceeded" in _put(members[0].endpoint), "nobody signed it"
    finally:
        for member in members:
            if member.is_running:
                member.kill()
