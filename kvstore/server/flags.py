"""etcd's server flags as a table, and the reading of command lines and `ETCD_*` variables.

Nothing that etcd knows is silently ignored: a flag is *used*; or it has no meaning here and is
*noted* in the log; or it is to come *later* and refused unless it is given its default.
"""

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from kvstore.base.urls import Url, urls

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


class Use(Enum):
    """What a flag means to this server."""

    USED = "used"
    NOTED = "has no meaning here"
    LATER = "not supported yet"


class FlagError(Exception):
    """The command line cannot be read; the text is Go's, as etcd prints it above its usage."""


class HelpWanted(Exception):
    """`-h` or `--help` was given."""


def duration_s(text: str) -> float:
    """Read a duration as Go writes it (`1h30m`, `100ms`, `0`), in seconds.

    Raises:
        ValueError: it is none.
    """
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if digits == "0":
        return 0.0
    parts = _DURATION.findall(digits)
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        raise ValueError("parse error")
    return sign * sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def boolean(text: str) -> bool:
    """Read a boolean as Go's strconv.ParseBool does.

    Raises:
        ValueError: it is none.
    """
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("parse error")


def integer(text: str) -> int:
    """Read a whole number.

    Raises:
        ValueError: it is none.
    """
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError("parse error") from None


def natural(text: str) -> int:
    """Read a whole number that is not negative.

    Raises:
        ValueError: it is none.
    """
    number = integer(text)
    if number < 0:
        raise ValueError("parse error")
    return number


def _urls(text: str) -> tuple[Url, ...]:
    return urls(text) if text else ()


def retention(text: str) -> float:
    """Read a retention: a plain number means hours, or revisions, as the mode says.

    Raises:
        ValueError: it is neither a number nor a duration.
    """
    return float(natural(text)) if text.isdecimal() else duration_s(text)


def _compaction_mode(text: str) -> str:
    if text not in {"periodic", "revision"}:
        raise ValueError(f'unknown auto-compaction-mode "{text}"')
    return text


def _metrics(text: str) -> str:
    if text not in {"basic", "extensive"}:
        raise ValueError(f'invalid value "{text}"')
    return text


def _v2_deprecation(text: str) -> str:
    if text not in {"write-only", "write-only-drop-data", "gone"}:
        raise ValueError(f'invalid value "{text}"')
    return text


def _cluster_state(text: str) -> str:
    if text not in ("new", "existing"):
        raise ValueError("invalid value")
    return text


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: `--name`, or the variable `ETCD_NAME`."""

    name: str
    default: str
    help: str
    """What the flag sets; for one that comes later, the feature it belongs to."""
    check: Callable[[str], object] = str
    """Raises ValueError for a text that is no such value."""
    use: Use = Use.USED
    aliases: tuple[str, ...] = ()

    @property
    def is_boolean(self) -> bool:
        """Whether the flag may stand alone."""
        return self.check is boolean


def _later(name: str, default: str, help_: str, check: Callable[[str], object] = str) -> Flag:
    return Flag(name, default, help_, check, Use.LATER)


def _noted(
    name: str, default: str, check: Callable[[str], object] = str, aliases: tuple[str, ...] = ()
) -> Flag:
    return Flag(
        name, default, "Accepted for etcd's sake; has no effect.", check, Use.NOTED, aliases
    )


_TRACING: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    ("enable-distributed-tracing", "false", boolean),
    ("distributed-tracing-address", "localhost:4317", str),
    ("distributed-tracing-service-name", "etcd", str),
    ("distributed-tracing-instance-id", "", str),
    ("distributed-tracing-sampling-rate", "0", integer),
)
_GROUPS: dict[str, tuple[Flag, ...]] = {
    "Member": (
        Flag("name", "default", "Human-readable name for this member."),
        Flag("config-file", "", "YAML file with these settings; flags and variables are ignored."),
        Flag("data-dir", "", "Path to the data directory. Default: <name>.etcd."),
        Flag("wal-dir", "", "Path to a directory for the write-ahead log alone."),
        Flag("listen-peer-urls", "http://localhost:2380", "URLs to listen on for peers.", urls),
        Flag("listen-client-urls", "http://localhost:2379", "URLs to listen on for clients.", urls),
        Flag("listen-client-http-urls", "", "URLs for HTTP alone; gRPC keeps the others.", _urls),
        Flag("listen-metrics-urls", "", "More URLs for metrics and health alone.", _urls),
        Flag("enable-grpc-gateway", "true", "Serve every rpc as JSON over HTTP.", boolean),
        Flag("cors", "*", "Origins whose pages may use HTTP, comma-separated."),
        Flag("host-whitelist", "*", "Host names of HTTP requests without TLS, comma-separated."),
        Flag(
            "peer-insecure-bind",
            "false",
            "Let peers without TLS reach this member from other machines. (Not a flag of etcd.)",
            boolean,
        ),
        Flag("heartbeat-interval", "100", "Milliseconds between two heartbeats.", natural),
        Flag(
            "election-timeout", "1000", "Milliseconds without a heartbeat to an election.", natural
        ),
        Flag("snapshot-count", "10000", "Log entries between two trims of the log.", natural),
        Flag(
            "snapshot-catchup-entries",
            "5000",
            "Log entries kept for members that lag.",
            natural,
            aliases=("experimental-snapshot-catchup-entries",),
        ),
        Flag(
            "quota-backend-bytes",
            "0",
            "Size that raises the NOSPACE alarm (0: 2 GiB, below: none).",
            integer,
        ),
        Flag("max-txn-ops", "128", "Operations in one transaction at most.", natural),
        Flag("max-request-bytes", "1572864", "Bytes in one request at most.", natural),
        Flag("max-concurrent-streams", "4294967295", "Open streams per connection.", natural),
        Flag("grpc-keepalive-min-time", "5s", "Shortest time between two pings.", duration_s),
        Flag("grpc-keepalive-interval", "2h", "Time between our pings (0: none).", duration_s),
        Flag("grpc-keepalive-timeout", "20s", "Wait for the answer to a ping.", duration_s),
        Flag(
            "watch-progress-notify-interval",
            "10m",
            "Time between two progress notices to an idle watcher.",
            duration_s,
            aliases=("experimental-watch-progress-notify-interval",),
        ),
        Flag(
            "corrupt-check-time",
            "0s",
            "Time between two comparisons of all members' data (0: none).",
            duration_s,
            aliases=("experimental-corrupt-check-time",),
        ),
        Flag(
            "compact-hash-check-time",
            "1m",
            "Time between two comparisons of what compactions left (feature CompactHashCheck).",
            duration_s,
            aliases=("experimental-compact-hash-check-time",),
        ),
        Flag(
            "feature-gates",
            "",
            "Features to switch on or off: A=true,B=false; AllAlpha and AllBeta name groups.",
        ),
        *(
            Flag(f"experimental-{name}", default, "Older flag of a feature gate.", boolean)
            for name, default in (
                ("initial-corrupt-check", "false"),
                ("compact-hash-check-enabled", "false"),
                ("enable-lease-checkpoint", "false"),
                ("enable-lease-checkpoint-persist", "false"),
                ("stop-grpc-service-on-defrag", "false"),
                ("txn-mode-write-with-shared-buffer", "true"),
            )
        ),
        Flag(
            "metrics",
            "basic",
            "'extensive' measures the time of every rpc as well.",
            _metrics,
        ),
        Flag("auto-compaction-mode", "periodic", "'periodic', or 'revision'.", _compaction_mode),
        Flag(
            "auto-compaction-retention",
            "0",
            "History to keep: a duration (hours, without a unit), or revisions; 0 for all.",
            retention,
        ),
        Flag(
            "compaction-batch-limit",
            "1000",
            "Revisions removed in one slice of a compaction.",
            natural,
            aliases=("experimental-compaction-batch-limit",),
        ),
    ),
    "Clustering": (
        Flag("advertise-client-urls", "http://localhost:2379", "URLs that clients are told.", urls),
        Flag(
            "initial-advertise-peer-urls",
            "http://localhost:2380",
            "URLs that peers are told.",
            urls,
        ),
        Flag("initial-cluster", "", "Members of a new cluster: name=url,name=url."),
        Flag("initial-cluster-state", "new", "'new', or 'existing' to join.", _cluster_state),
        Flag("initial-cluster-token", "etcd-cluster", "Keeps clusters apart."),
        Flag(
            "strict-reconfig-check",
            "true",
            "Refuse changes of the members that could cost the quorum.",
            boolean,
        ),
        Flag(
            "max-learners",
            "1",
            "Learners at a time at most.",
            natural,
            aliases=("experimental-max-learners",),
        ),
        Flag(
            "force-new-cluster",
            "false",
            "Go on as the only member, with the data of a cluster whose other members are lost.",
            boolean,
        ),
    ),
    "Security": (
        Flag("cert-file", "", "Certificate shown to clients."),
        Flag("key-file", "", "Its key."),
        Flag("trusted-ca-file", "", "Who signs the certificates that clients must show."),
        Flag("client-cert-auth", "false", "Clients must show a certificate.", boolean),
        Flag("client-crl-file", "", "Certificates of clients that are revoked."),
        Flag("client-cert-file", "", "Accepted: this member never dials the client port."),
        Flag("client-key-file", "", "Accepted: this member never dials the client port."),
        Flag("client-cert-allowed-hostname", "", "Names of which a client's certificate has one."),
        Flag("auto-tls", "false", "Make a self-signed certificate for clients.", boolean),
        Flag("peer-cert-file", "", "Certificate shown to peers."),
        Flag("peer-key-file", "", "Its key."),
        Flag("peer-trusted-ca-file", "", "Who signs the certificates that peers must show."),
        Flag("peer-client-cert-auth", "false", "Peers must show a certificate.", boolean),
        Flag("peer-crl-file", "", "Certificates of peers that are revoked."),
        Flag("peer-client-cert-file", "", "Certificate shown when dialling; else the other."),
        Flag("peer-client-key-file", "", "Its key."),
        Flag("peer-cert-allowed-cn", "", "Common names that a peer's certificate may have."),
        Flag("peer-cert-allowed-hostname", "", "Names of which a peer's certificate has one."),
        Flag("peer-auto-tls", "false", "Make a self-signed certificate for peers.", boolean),
        Flag(
            "peer-skip-client-san-verification",
            "false",
            "Peers may dial from addresses that their certificates do not name.",
            boolean,
            aliases=("experimental-peer-skip-client-san-verification",),
        ),
        Flag("self-signed-cert-validity", "1", "Years for which those are valid.", natural),
        Flag("cipher-suites", "", "Of TLS 1.2, in Go's names, comma-separated."),
        Flag("tls-min-version", "TLS1.2", "TLS1.2 or TLS1.3."),
        Flag("tls-max-version", "", "TLS1.2 or TLS1.3; empty for the newest."),
    ),
    "Authentication": (
        Flag(
            "auth-token",
            "simple",
            "'simple', or 'jwt,sign-method=..,priv-key=..,pub-key=..,ttl=..'.",
        ),
        Flag("auth-token-ttl", "300", "Seconds for which an unused simple token lives.", natural),
        Flag("bcrypt-cost", "10", "Rounds of password hashing, as a power of two.", natural),
    ),
    "Logging": (
        Flag("logger", "zap", "Only 'zap' (JSON lines) exists."),
        Flag("log-level", "info", "debug, info, warn, error, panic or fatal."),
        Flag("log-outputs", "default", "'default', 'stderr', 'stdout' or file names."),
        Flag("log-format", "json", "Only 'json' exists."),
    ),
    "Not supported yet (refused, unless given their defaults)": (
        _later("discovery", "", "discovery service"),
        _later("discovery-srv", "", "discovery by DNS"),
        _later("discovery-srv-name", "", "discovery by DNS"),
        _later("discovery-endpoints", "", "discovery service"),
        _later("discovery-token", "", "discovery service"),
        *(
            _later(f"discovery-{name}", "", "discovery service")
            for name in ("proxy", "cacert", "cert", "key", "user", "password")
        ),
        _later("enable-log-rotation", "false", "rotation of the log file", boolean),
    ),
    "Accepted without effect": (
        _noted("pre-vote", "true", boolean),
        _noted("initial-election-tick-advance", "true", boolean),
        _noted("max-snapshots", "5", natural),
        _noted("max-wals", "5", natural),
        _noted("unsafe-no-fsync", "false", boolean),
        _noted("backend-batch-limit", "0", integer),
        _noted("backend-batch-interval", "0", duration_s),
        _noted("backend-bbolt-freelist-type", "map"),
        _noted("memory-mlock", "false", boolean, ("experimental-memory-mlock",)),
        _noted("socket-reuse-port", "false", boolean),
        _noted("socket-reuse-address", "false", boolean),
        _noted("raft-read-timeout", "5s", duration_s),
        _noted("raft-write-timeout", "5s", duration_s),
        _noted("downgrade-check-time", "5s", duration_s, ("experimental-downgrade-check-time",)),
        _noted("enable-pprof", "false", boolean),
        _noted("discovery-fallback", "exit"),
        _noted("discovery-insecure-transport", "true", boolean),
        _noted("discovery-insecure-skip-tls-verify", "false", boolean),
        *(
            _noted(f"discovery-{name}", default, duration_s)
            for name, default in (
                ("dial-timeout", "2s"),
                ("request-timeout", "5s"),
                ("keepalive-time", "2s"),
                ("keepalive-timeout", "6s"),
            )
        ),
        *(
            _noted(name, default, check, (f"experimental-{name}",))
            for name, default, check in _TRACING
        ),
        _noted(
            "compaction-sleep-interval",
            "10ms",
            duration_s,
            ("experimental-compaction-sleep-interval",),
        ),
        _noted(
            "warning-apply-duration", "100ms", duration_s, ("experimental-warning-apply-duration",)
        ),
        _noted(
            "warning-unary-request-duration",
            "300ms",
            duration_s,
            ("experimental-warning-unary-request-duration",),
        ),
        _noted(
            "bootstrap-defrag-threshold-megabytes",
            "0",
            natural,
            ("experimental-bootstrap-defrag-threshold-megabytes",),
        ),
        _noted("log-rotation-config-json", ""),
        _noted("v2-deprecation", "write-only", _v2_deprecation),
    ),
}

FLAGS: dict[str, Flag] = {
    name: flag
    for group in _GROUPS.values()
    for flag in group
    for name in (flag.name, *flag.aliases)
}
"""Every flag by its name, and by its older names."""


class FlagValues:
    """The value of every flag: given, from the environment, or by default.

    Values were checked when they were read, so the typed accessors cannot fail.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def is_given(self, name: str) -> bool:
        """Whether the flag was set, be it to its default."""
        return name in self._given

    def text(self, name: str) -> str:
        """Return the value as it was written."""
        return self._given.get(name, FLAGS[name].default)

    def boolean(self, name: str) -> bool:
        """Return the value of a boolean flag."""
        return boolean(self.text(name))

    def integer(self, name: str) -> int:
        """Return the value of a numeric flag."""
        return integer(self.text(name))

    def duration_s(self, name: str) -> float:
        """Return the value of a flag for a duration, in seconds."""
        return duration_s(self.text(name))

    def urls(self, name: str) -> tuple[Url, ...]:
        """Return the value of a flag for URLs."""
        return urls(self.text(name))

    def urls_or_none(self, name: str) -> tuple[Url, ...]:
        """Return the value of a flag for URLs that may be empty."""
        return _urls(self.text(name))

    def names(self, name: str) -> tuple[str, ...]:
        """Return the parts of a value with commas; an empty one has none."""
        return tuple(filter(None, self.text(name).split(",")))

    def given(self, use: Use) -> list[tuple[Flag, str]]:
        """Return the flags of one use that were set to something else than their default."""
        return [
            (FLAGS[name], text)
            for name, text in self._given.items()
            if FLAGS[name].use is use and not _is_default(FLAGS[name], text)
        ]


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> FlagValues:
    """Read a command line over `ETCD_*` variables, as etcd does; flags win.

    Raises:
        FlagError: an unknown flag, a value that is none, or an argument that is no flag.
        HelpWanted: `-h` or `--help`.
    """
    return FlagValues(_from_environment(environment) | _from_arguments(arguments))


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return the `ETCD_*` variables that no flag has."""
    known = {_variable(name) for name in FLAGS}
    return sorted(name for name in environment if name.startswith("ETCD_") and name not in known)


def usage() -> str:
    """Return the help text: every flag, by group."""
    lines = [
        "Usage:",
        "",
        "  kvstored [flags]",
        "    Start a member.",
        "",
        "  kvstored --version",
        "    Show the version.",
        "",
        "Every flag --foo-bar is also read from the variable ETCD_FOO_BAR; flags win.",
    ]
    for title, flags in _GROUPS.items():
        lines += ["", f"{title}:"]
        if flags[0].use is Use.USED:
            for flag in flags:
                lines += [f"  --{flag.name} '{flag.default}'", f"    {flag.help}"]
        else:
            names = ", ".join(flag.name for flag in flags)
            lines += textwrap.wrap(
                names, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
            )
    return "\n".join(lines) + "\n"


def _from_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """Read flags by the rules of Go's flag package: one dash or two, `=value` or the next word."""
    given: dict[str, str] = {}
    named: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word in ("-", "--"):
            raise FlagError(f"'{rest[0] if word == '--' and rest else word}' is not a valid flag")
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if name in ("h", "help"):
            raise HelpWanted
        flag = FLAGS.get(name)
        if flag is None:
            raise FlagError(f"flag provided but not defined: -{name}")
        if not equals:
            if flag.is_boolean:
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise FlagError(f"flag needs an argument: -{name}")
        if named.setdefault(flag.name, name) != name:
            both = f"both --{named[flag.name]} and --{name} flags are set. "
            raise FlagError(f"{both}Use only --{flag.name}")
        check_value(flag, name, value)
        given[flag.name] = value
    return given


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, flag in FLAGS.items():
        value = environment.get(_variable(name), "")
        if value:  # etcd takes an empty variable for none
            check_value(flag, name, value)
            given[flag.name] = value
    return given


def _variable(name: str) -> str:
    return "ETCD_" + name.upper().replace("-", "_")


def check_value(flag: Flag, name: str, value: str) -> None:
    """Raise FlagError for a value that the flag does not take."""
    try:
        flag.check(value)
    except ValueError as error:
        if flag.is_boolean:
            raise FlagError(f'invalid boolean value "{value}" for -{name}: {error}') from None
        raise FlagError(f'invalid value "{value}" for flag -{name}: {error}') from None


def _is_default(flag: Flag, text: str) -> bool:
    if text == flag.default:
        return True
    return flag.check is not str and flag.check(text) == flag.check(flag.default)
