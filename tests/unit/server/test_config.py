"""The configuration says everything that is wrong, in etcd's words where etcd has them."""

import json
from pathlib import Path

import pytest

from kvstore.base.limits import GIB
from kvstore.server.config import ConfigurationRefused, ServerConfig, load


def problems(*arguments: str) -> list[str]:
    with pytest.raises(ConfigurationRefused) as refused:
        load(arguments, {})
    return list(refused.value.problems)


def bootstrap_problems(*arguments: str) -> list[str]:
    return load(arguments, {}).bootstrap_problems()


def test_without_flags_it_is_the_default_member_of_etcd() -> None:
    config = load([], {})
    assert config.name == "default"
    assert config.data_dir == Path("default.etcd")
    assert config.wal_directory == Path("default.etcd/member/wal")
    assert [str(url) for url in config.listen.client_urls] == ["http://localhost:2379"]
    assert str(config.cluster) == "default=http://localhost:2380"
    assert config.limits.quota_bytes == 2 * GIB
    assert config.bootstrap_problems() == []


def test_a_member_alone_is_a_cluster_at_the_urls_it_advertises() -> None:
    config = load(["--name", "a", "--initial-advertise-peer-urls", "http://10.0.0.1:2380"], {})
    assert str(config.cluster) == "a=http://10.0.0.1:2380"
    assert config.bootstrap_problems() == []


def test_values_reach_the_places_that_use_them() -> None:
    config = load(
        [
            "--snapshot-count=5",
            "--max-txn-ops=6",
            "--max-request-bytes=7",
            "--grpc-keepalive-min-time=8s",
            "--watch-progress-notify-interval=100ms",
            "--quota-backend-bytes=9000",
            "--wal-dir=/wal",
        ],
        {},
    )
    assert config.limits.snapshot_entries == 5
    assert config.limits.txn_ops_max == 6
    assert config.limits.request_bytes_max == 7
    assert config.limits.ping_interval_min_s == 8
    assert config.watch_progress_interval_s == pytest.approx(0.1)
    assert config.limits.quota_bytes == 9000
    assert config.wal_directory == Path("/wal")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--election-timeout=100"],
            "--election-timeout[100ms] should be at least as 5 times as "
            "--heartbeat-interval[100ms]",
        ),
        (
            ["--election-timeout=60000"],
            "--election-timeout[60000ms] is too long, and should be set less than 50000ms",
        ),
        (["--heartbeat-interval=0"], "--heartbeat-interval must be >0 (set to 0ms)"),
        (
            ["--listen-client-urls=http://127.0.0.1:1"],
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (
            ["--listen-peer-urls=http://example.com:2380"],
            "expected IP in URL for binding (http://example.com:2380)",
        ),
        (
            ["--initial-advertise-peer-urls=http://:2380"],
            '--initial-advertise-peer-urls "http://:2380" must be "host:port" '
            "(unexpected empty host (http://:2380))",
        ),
        (
            ["--listen-metrics-urls=https://127.0.0.1:1"],
            "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url",
        ),
        (["--logger=foo"], 'unknown logger option "foo"'),
        (["--log-level=foo"], 'unrecognized level: "foo"'),
        (
            ["--initial-cluster=foo"],
            "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: ",
        ),
    ],
)
def test_a_single_mistake_is_told_in_the_words_of_etcd(arguments: list[str], text: str) -> None:
    assert problems(*arguments) == [text]


def test_everything_wrong_is_told_at_once() -> None:
    found = problems(
        "--election-timeout=60000", "--logger=foo", "--log-format=x", "--max-txn-ops=0"
    )
    assert len(found) == 4


@pytest.mark.parametrize(
    "argument",
    ["--discovery=x", "--enable-log-rotation"],
)
def test_what_comes_later_is_refused_by_name(argument: str) -> None:
    (found,) = problems(argument)
    assert found.startswith(f"{argument.partition('=')[0]} is not supported yet")


def test_what_comes_later_may_be_given_its_default() -> None:
    load(["--client-cert-auth=f", "--auth-token", "simple", "--corrupt-check-time=0"], {})


def test_tls_urls_are_refused_without_a_certificate() -> None:
    urls = [
        "--listen-client-urls=https://127.0.0.1:1",
        "--advertise-client-urls=https://127.0.0.1:1",
    ]
    (found,) = problems(*urls)
    assert found == ("cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented")
    load([*urls, "--auto-tls"], {})


def test_half_a_certificate_is_refused() -> None:
    (found, missing) = problems("--peer-cert-file=/nowhere.pem")
    assert found == "KeyFile and CertFile must both be present[key: , cert: /nowhere.pem]"
    assert missing == "/nowhere.pem: no such file"


def test_settings_without_meaning_are_noted_not_refused() -> None:
    config = load(["--max-wals=3", "--max-snapshots=5"], {"ETCD_NONSENSE": "1"})
    assert config.notes == (
        "--max-wals=3 has no effect on this server",
        "unrecognized environment variable ETCD_NONSENSE",
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.8.8", "[::1]"])
def test_peers_without_tls_may_come_from_this_machine(host: str) -> None:
    load([f"--listen-peer-urls=http://{host}:2380"], {})


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "[::]"])
def test_peers_without_tls_from_elsewhere_need_the_operator_to_say_so(host: str) -> None:
    listen = f"--listen-peer-urls=http://{host}:2380"
    (found,) = problems(listen)
    assert "--peer-insecure-bind" in found
    load([listen, "--peer-insecure-bind"], {})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--name=x", "--initial-cluster=a=http://127.0.0.1:2380"],
            'couldn\'t find local name "x" in the initial cluster configuration',
        ),
        (
            ["--initial-cluster=default=http://127.0.0.1:2381"],
            "--initial-cluster has default=http://127.0.0.1:2381 but missing from "
            "--initial-advertise-peer-urls=http://localhost:2380",
        ),
        (
            ["--initial-cluster=default=http://localhost:2380,b=http://localhost:2380"],
            "initial cluster b=http://localhost:2380,default=http://localhost:2380 "
            "has duplicate url",
        ),
        (
            [
                "--initial-advertise-peer-urls=http://127.0.0.1:1,http://127.0.0.1:2",
                "--initial-cluster=default=http://127.0.0.1:1",
            ],
            "--initial-advertise-peer-urls has http://127.0.0.1:2 but missing from "
            "--initial-cluster=default=http://127.0.0.1:1,default=http://127.0.0.1:2",
        ),
    ],
)
def test_a_new_member_must_find_itself_in_its_cluster(arguments: list[str], text: str) -> None:
    assert bootstrap_problems(*arguments) == [text]


def test_localhost_and_its_address_are_one_place() -> None:
    assert bootstrap_problems("--initial-cluster=default=http://127.0.0.1:2380") == []


def test_a_joining_member_need_not_advertise_what_the_cluster_lists() -> None:
    arguments = ["--initial-cluster=default=http://10.0.0.1:1", "--initial-cluster-state=existing"]
    assert bootstrap_problems(*arguments) == []


def test_a_negative_quota_is_none() -> None:
    assert load(["--quota-backend-bytes=-1"], {}).limits.quota_bytes == -1


def test_a_configuration_is_a_value() -> None:
    config: ServerConfig = load(["--name", "a"], {})
    assert config == load([], {"ETCD_NAME": "a"})


def test_a_configuration_can_be_shown_as_json() -> None:
    shown = json.loads(json.dumps(load(["--name", "a"], {}).shown()))
    assert shown["listen"]["client_urls"] == ["http://localhost:2379"]
    assert shown["cluster"]["initial_members"] == {"a": ["http://localhost:2380"]}
    assert shown["wal_dir"] is None
