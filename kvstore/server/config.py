"""The configuration of one member: a frozen tree, built once from flags over variables.

Below `server/` nobody reads flags or the environment. `ServerConfig.problems` lists everything that
is wrong at once; `bootstrap_problems` holds for members without data only, because existing data
wins over what the flags say about the cluster.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Literal

from kvstore.base.limits import GIB, KIB, Limits
from kvstore.base.urls import Url, cluster_urls, url_texts
from kvstore.member.config import AutoCompactionConfig, CorruptionConfig
from kvstore.raft.timing import RaftTiming
from kvstore.server import feature_gates, flags
from kvstore.server.auth_settings import AuthSettings
from kvstore.server.config_file import read_config_file
from kvstore.server.tls import TlsFiles, TlsRules, client_context, server_context

_HOUR_S = 3600.0
QUOTA_BYTES_DEFAULT = 2 * GIB
LOG_LEVELS = ("debug", "info", "warn", "error", "dpanic", "panic", "fatal")


class ConfigurationRefused(Exception):
    """The flags can be read but not obeyed; `problems` says everything that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    """Where the member listens, and what it says about that."""

    client_urls: tuple[Url, ...]
    peer_urls: tuple[Url, ...]
    advertised_client_urls: tuple[str, ...]
    advertised_peer_urls: tuple[str, ...]
    """Sorted; part of the member's id."""
    allows_insecure_peers: bool = False
    """Peers without TLS may come from other machines: the operator trusts the network."""
    ping_interval_s: float = 7200.0
    """Time between our pings to an idle client; 0 for none."""
    ping_timeout_s: float = 20.0
    """A client that does not answer a ping for so long is disconnected."""
    client_http_urls: tuple[Url, ...] = ()
    """Where HTTP is served; empty: together with gRPC."""
    metrics_urls: tuple[Url, ...] = ()
    """Where metrics and health are served as well."""
    has_gateway: bool = True
    """Whether the JSON gateway is served."""
    cors: tuple[str, ...] = ("*",)
    """Origins whose pages may use the HTTP side."""
    host_whitelist: tuple[str, ...] = ("*",)
    """Host names that HTTP requests without TLS may bear."""
    client_tls: TlsFiles = field(default_factory=TlsFiles)
    peer_tls: TlsFiles = field(default_factory=TlsFiles)
    tls_rules: TlsRules = field(default_factory=TlsRules)
    self_signed_years: int = 1
    """For how long a certificate lasts that `--auto-tls` or `--peer-auto-tls` makes."""

    @property
    def served_urls(self) -> tuple[Url, ...]:
        """Every address at which clients are served something."""
        return (*self.client_urls, *self.client_http_urls, *self.metrics_urls)

    def problems(self) -> list[str]:
        """Return what is wrong, in etcd's words where etcd has them."""
        found = [
            f"expected IP in URL for binding ({url})"
            for url in (*self.peer_urls, *self.served_urls)
            if url.scheme in ("http", "https") and not url.has_bindable_host
        ]
        found += [
            f"listening on {url}: peers have no TLS over unix sockets"
            for url in self.peer_urls
            if url.scheme == "unixs"
        ]
        found += self.tls_rules.problems()
        client_urls = (*self.client_urls, *self.client_http_urls)
        for urls, files in ((client_urls, self.client_tls), (self.peer_urls, self.peer_tls)):
            found += _tls_problems(urls, files)
        has_secure_metrics = any(url.scheme in ("https", "unixs") for url in self.metrics_urls)
        if has_secure_metrics and not (self.client_tls.is_given or self.client_tls.is_automatic):
            found.append(
                "client TLS key/cert (--cert-file, --key-file) must be provided "
                "for metrics secure url"
            )
        if self.peer_tls.allowed_names and self.peer_tls.allowed_hosts:
            found.append(
                "--peer-cert-allowed-cn and --peer-cert-allowed-hostname exclude each other"
            )
        for flag, texts in (
            ("initial-advertise-peer-urls", self.advertised_peer_urls),
            ("advertise-client-urls", self.advertised_client_urls),
        ):
            empty = next((text for text in texts if "://:" in text), None)
            if empty is not None:
                listed = ",".join(texts)
                found.append(
                    f'--{flag} "{listed}" must be "host:port" (unexpected empty host ({empty}))'
                )
        if not self.allows_insecure_peers:
            found += [
                f"--listen-peer-urls {url} has no TLS and can be reached from other machines: "
                "whoever reaches it owns the data. Listen on a loopback address, or say "
                "--peer-insecure-bind if you trust the network"
                for url in self.peer_urls
                if url.scheme == "http" and url.has_bindable_host and not url.is_loopback
            ]
        return found


def _tls_problems(urls: Sequence[Url], files: TlsFiles) -> list[str]:
    """Return why these URLs cannot be listened on with these files, in etcd's words."""
    found = []
    if bool(files.certificate) != bool(files.key):
        found.append(
            "KeyFile and CertFile must both be present"
            f"[key: {files.key}, cert: {files.certificate}]"
        )
    elif not files.is_given and not files.is_automatic:
        found += [
            f"cannot listen on TLS for {url.host}:{url.port}: "
            "KeyFile and CertFile are not presented"
            for url in urls
            if url.scheme in ("https", "unixs")
        ]
    if bool(files.client_certificate) != bool(files.client_key):
        found.append(
            "ClientKeyFile and ClientCertFile must both be present or both absent: "
            f"key: {files.client_key}, cert: {files.client_certificate}]"
        )
    found += [f"{path}: no such file" for path in files.paths if not Path(path).is_file()]
    if not found and files.is_given:
        try:
            server_context(files, TlsRules())
            client_context(files, TlsRules())
        except (OSError, ssl.SSLError) as problem:
            found.append(f"{files.certificate}: {problem}")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftConfig:
    """The timing of consensus."""

    heartbeat_interval_ms: int = 100
    """Between two heartbeats of a leader."""
    election_timeout_ms: int = 1000
    """Without a heartbeat before a follower campaigns; each draws from [this, twice this)."""

    def problems(self) -> list[str]:
        """Return what is wrong, in etcd's words."""
        try:
            RaftTiming(
                heartbeat_s=self.heartbeat_interval_ms / 1000,
                election_s=self.election_timeout_ms / 1000,
            )
        except ValueError as problem:
            return [str(problem)]
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Which cluster the member starts or joins; of no account once it has data."""

    initial_members: Mapping[str, tuple[Url, ...]]
    """Peer URLs by member name."""
    state: Literal["new", "existing"] = "new"
    token: str = "etcd-cluster"  # noqa: S105  a name, not a secret
    is_forced_alone: bool = False
    """Whether to go on as the only member, with the data of a cluster that is lost."""
    is_strict: bool = True
    """Whether changes of the members that could cost the quorum are refused."""
    learners_max: int = 1

    def __str__(self) -> str:
        """Return the members as `--initial-cluster` writes them."""
        return ",".join(
            f"{name}={url}" for name, addresses in self.initial_members.items() for url in addresses
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Where the log goes, and how much of it."""

    level: str = "info"
    """One of `LOG_LEVELS`."""
    outputs: tuple[str, ...] = ("default",)
    """`default` and `stderr`, `stdout`, or file names."""
    logger: str = "zap"
    format: str = "json"

    def problems(self) -> list[str]:
        """Return what is wrong."""
        found = []
        if self.logger != "zap":
            found.append(f'unknown logger option "{self.logger}"')
        if self.level not in LOG_LEVELS:
            found.append(f'unrecognized level: "{self.level}"')
        if self.format != "json":
            found.append(f'unknown log-format "{self.format}": only "json" exists')
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything one member is told at its start."""

    name: str
    data_dir: Path
    wal_dir: Path | None
    """None: inside `data_dir`."""
    listen: ListenConfig
    raft: RaftConfig
    cluster: ClusterConfig
    limits: Limits
    log: LogConfig
    auth: AuthSettings = field(default_factory=AuthSettings)
    watch_progress_interval_s: float = 600.0
    """Between two progress notices to an idle watcher that asked for them."""
    auto_compaction: AutoCompactionConfig = field(default_factory=AutoCompactionConfig)
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    features: Mapping[str, bool] = field(default_factory=lambda: feature_gates.DEFAULTS)
    """etcd's feature gates, and whether each is on."""
    measures_rpcs: bool = False
    """Whether the metrics hold the time of every rpc."""
    notes: tuple[str, ...] = ()
    """What the operator said that has no effect; logged at the start."""

    @property
    def wal_directory(self) -> Path:
        """Where the write-ahead log lies."""
        return self.wal_dir if self.wal_dir is not None else self.data_dir / "member" / "wal"

    def shown(self) -> dict[str, object]:
        """Return the whole tree in the types of JSON, for the log."""
        return {item.name: _shown(getattr(self, item.name)) for item in fields(self)}

    def problems(self) -> list[str]:
        """Return everything that is wrong, whatever the data directory holds; best first."""
        found = self.listen.problems() + self.raft.problems() + self.log.problems()
        found += self.auth.problems()
        if not self.name:
            found.append("--name must not be empty")
        for flag, value in (
            ("max-request-bytes", self.limits.request_bytes_max),
            ("max-txn-ops", self.limits.txn_ops_max),
            ("max-concurrent-streams", self.limits.concurrent_streams_max),
            ("snapshot-count", self.limits.snapshot_entries),
            ("compaction-batch-limit", self.limits.compaction_batch),
        ):
            if value <= 0:
                found.append(f"--{flag} must be >0 (set to {value})")
        return found

    def bootstrap_problems(self) -> list[str]:
        """Return what is wrong for a member that has no data yet (etcd's VerifyBootstrap)."""
        members = self.cluster.initial_members
        if self.name not in members:
            return [f'couldn\'t find local name "{self.name}" in the initial cluster configuration']
        found = []
        if self.cluster.state == "new":
            found += self._mismatched_peer_urls()
        listed = [url for addresses in members.values() for url in addresses]
        if len(set(listed)) < len(listed):
            found.append(f"initial cluster {self.cluster} has duplicate url")
        return found

    def _mismatched_peer_urls(self) -> list[str]:
        """Say how this member's own entry in the cluster differs from what it advertises."""
        advertised = self.listen.advertised_peer_urls
        initial = url_texts(self.cluster.initial_members[self.name])
        # The one pair of names for the same place that needs no resolver.
        told = {text.replace("//localhost:", "//127.0.0.1:") for text in advertised}
        expected = {text.replace("//localhost:", "//127.0.0.1:") for text in initial}
        if told == expected:
            return []
        missing = [f"{self.name}={text}" for text in initial if text not in advertised]
        if missing:
            return [
                f"--initial-cluster has {','.join(missing)} but missing from "
                f"--initial-advertise-peer-urls={','.join(advertised)}"
            ]
        extra = [text for text in advertised if text not in initial]
        own = ",".join(f"{self.name}={text}" for text in advertised)
        return [
            f"--initial-advertise-peer-urls has {','.join(extra)} but missing from "
            f"--initial-cluster={own}"
        ]


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> ServerConfig:
    """Build the configuration that a command line and `ETCD_*` variables describe.

    Raises:
        flags.FlagError: the command line cannot be read.
        flags.HelpWanted: it asks for the usage.
        ConfigurationRefused: it cannot be obeyed.
    """
    values = flags.read(arguments, environment)
    ignored: tuple[str, ...] = ()
    if file := values.text("config-file"):
        ignored = ("a configuration file is given: flags and ETCD_* variables are ignored",)
        values = flags.FlagValues(read_config_file(Path(file)))
    problems = [
        f"--{flag.name} is not supported yet ({flag.help})"
        for flag, _ in values.given(flags.Use.LATER)
    ]
    if values.is_given("listen-client-urls") and not values.is_given("advertise-client-urls"):
        problems.append(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly"
        )
    try:
        members = cluster_urls(_initial_cluster(values))
    except ValueError as error:
        problems.append(f"error setting up initial cluster: {error}")
        members = {}
    features, gate_problems, gate_notes = feature_gates.features_of(values)
    notes = (*ignored, *_notes(values, environment), *gate_notes)
    config = _config(values, members, features, notes)
    problems += [*gate_problems, *config.problems()]
    if problems:
        raise ConfigurationRefused(problems)
    return config


def _config(
    values: flags.FlagValues,
    members: Mapping[str, tuple[Url, ...]],
    features: Mapping[str, bool],
    notes: tuple[str, ...],
) -> ServerConfig:
    name = values.text("name")
    wal_dir = values.text("wal-dir")
    return ServerConfig(
        name=name,
        data_dir=Path(values.text("data-dir") or f"{name}.etcd"),
        wal_dir=Path(wal_dir) if wal_dir else None,
        listen=ListenConfig(
            client_urls=values.urls("listen-client-urls"),
            peer_urls=values.urls("listen-peer-urls"),
            advertised_client_urls=url_texts(values.urls("advertise-client-urls")),
            advertised_peer_urls=url_texts(values.urls("initial-advertise-peer-urls")),
            allows_insecure_peers=values.boolean("peer-insecure-bind"),
            ping_interval_s=values.duration_s("grpc-keepalive-interval"),
            ping_timeout_s=values.duration_s("grpc-keepalive-timeout"),
            client_http_urls=values.urls_or_none("listen-client-http-urls"),
            metrics_urls=values.urls_or_none("listen-metrics-urls"),
            has_gateway=values.boolean("enable-grpc-gateway"),
            cors=values.names("cors"),
            host_whitelist=values.names("host-whitelist"),
            client_tls=TlsFiles(
                certificate=values.text("cert-file"),
                key=values.text("key-file"),
                trusted_ca=values.text("trusted-ca-file"),
                crl=values.text("client-crl-file"),
                client_certificate=values.text("client-cert-file"),
                client_key=values.text("client-key-file"),
                requires_certificate=values.boolean("client-cert-auth"),
                allowed_hosts=values.names("client-cert-allowed-hostname"),
                is_automatic=values.boolean("auto-tls") and not values.text("cert-file"),
            ),
            peer_tls=TlsFiles(
                certificate=values.text("peer-cert-file"),
                key=values.text("peer-key-file"),
                trusted_ca=values.text("peer-trusted-ca-file"),
                crl=values.text("peer-crl-file"),
                client_certificate=values.text("peer-client-cert-file"),
                client_key=values.text("peer-client-key-file"),
                requires_certificate=values.boolean("peer-client-cert-auth"),
                allowed_names=values.names("peer-cert-allowed-cn"),
                allowed_hosts=values.names("peer-cert-allowed-hostname"),
                is_automatic=values.boolean("peer-auto-tls") and not values.text("peer-cert-file"),
                skips_client_hosts=values.boolean("peer-skip-client-san-verification"),
            ),
            tls_rules=TlsRules(
                cipher_suites=values.names("cipher-suites"),
                version_min=values.text("tls-min-version"),
                version_max=values.text("tls-max-version"),
            ),
            self_signed_years=values.integer("self-signed-cert-validity"),
        ),
        raft=RaftConfig(
            heartbeat_interval_ms=values.integer("heartbeat-interval"),
            election_timeout_ms=values.integer("election-timeout"),
        ),
        cluster=ClusterConfig(
            initial_members=members,
            state="existing" if values.text("initial-cluster-state") == "existing" else "new",
            token=values.text("initial-cluster-token"),
            is_forced_alone=values.boolean("force-new-cluster"),
            is_strict=values.boolean("strict-reconfig-check"),
            learners_max=values.integer("max-learners"),
        ),
        limits=_limits(values),
        log=LogConfig(
            level=values.text("log-level"),
            outputs=tuple(values.text("log-outputs").split(",")),
            logger=values.text("logger"),
            format=values.text("log-format"),
        ),
        auth=AuthSettings(
            token=values.text("auth-token"),
            token_ttl_s=float(values.integer("auth-token-ttl")),
            bcrypt_cost=values.integer("bcrypt-cost"),
            trusts_certificates=values.boolean("client-cert-auth"),
        ),
        watch_progress_interval_s=values.duration_s("watch-progress-notify-interval"),
        auto_compaction=_auto_compaction(values),
        corruption=CorruptionConfig(
            at_start=features["InitialCorruptCheck"],
            interval_s=values.duration_s("corrupt-check-time"),
            compares_compactions=features["CompactHashCheck"],
            compaction_interval_s=values.duration_s("compact-hash-check-time"),
        ),
        features=features,
        measures_rpcs=values.text("metrics") == "extensive",
        notes=notes,
    )


def _auto_compaction(values: flags.FlagValues) -> AutoCompactionConfig:
    text = values.text("auto-compaction-retention")
    kept = flags.retention(text)
    if values.text("auto-compaction-mode") == "revision":
        return AutoCompactionConfig(mode="revision", retention=kept)
    return AutoCompactionConfig(retention=kept * _HOUR_S if text.isdecimal() else kept)


def _limits(values: flags.FlagValues) -> Limits:
    return Limits(
        request_bytes_max=values.integer("max-request-bytes"),
        request_overhead_bytes=512 * KIB,
        txn_ops_max=values.integer("max-txn-ops"),
        concurrent_streams_max=values.integer("max-concurrent-streams"),
        ping_interval_min_s=values.duration_s("grpc-keepalive-min-time"),
        snapshot_entries=values.integer("snapshot-count"),
        retained_entries=values.integer("snapshot-catchup-entries"),
        quota_bytes=values.integer("quota-backend-bytes") or QUOTA_BYTES_DEFAULT,
        compaction_batch=values.integer("compaction-batch-limit"),
    )


def _initial_cluster(values: flags.FlagValues) -> str:
    """Return `--initial-cluster`, or this member alone at the URLs it advertises."""
    name = values.text("name")
    alone = ",".join(f"{name}={url}" for url in values.urls("initial-advertise-peer-urls"))
    return values.text("initial-cluster") or alone


def _notes(values: flags.FlagValues, environment: Mapping[str, str]) -> tuple[str, ...]:
    meaningless = [
        f"--{flag.name}={text} has no effect on this server"
        for flag, text in values.given(flags.Use.NOTED)
    ]
    unknown = [
        f"unrecognized environment variable {name}" for name in flags.unknown_variables(environment)
    ]
    return (*meaningless, *unknown)


def _shown(value: object) -> object:
    if isinstance(value, Url):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _shown(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    if is_dataclass(value):
        return {item.name: _shown(getattr(value, item.name)) for item in fields(value)}
    return value if isinstance(value, int | float | bool | None) else str(value)
