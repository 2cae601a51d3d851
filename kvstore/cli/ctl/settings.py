"""Global flags and `ETCDCTL_*` variables, as one value."""

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.go_text import duration_s

PROFILE_VARIABLE = "KVSTORECTL_PROFILE"
PROFILE_DEFAULT = ".kvstore/local/profile.json"
"""Where `kvstore local up` writes it, seen from where that was called."""
FORMATS = ("simple", "json", "fields", "table", "protobuf")
STRINGS = {
    "endpoints": ("127.0.0.1:2379", "gRPC endpoints"),
    "dial-timeout": ("2s", "dial timeout for client connections"),
    "command-timeout": ("5s", "timeout for short running command (excluding dial timeout)"),
    "keepalive-time": ("2s", "keepalive time for client connections"),
    "keepalive-timeout": ("6s", "keepalive timeout for client connections"),
    "cacert": ("", "verify certificates of TLS-enabled secure servers using this CA bundle"),
    "cert": ("", "identify secure client using this TLS certificate file"),
    "key": ("", "identify secure client using this TLS key file"),
    "user": ("", "username[:password] for authentication (prompt if password is not supplied)"),
    "password": ("", "password for authentication (then --user has none)"),
    "discovery-srv": ("", "domain with SRV records of the members (not supported: refused)"),
    "discovery-srv-name": ("", "service name in those records (without effect)"),
    "max-request-bytes": ("0", "accepted: this client has no limit of its own"),
    "max-recv-bytes": ("0", "accepted: this client has no limit of its own"),
    "write-out": ("simple", f"set the output format ({', '.join(FORMATS)})"),
}
BOOLEANS = {
    "hex": (False, "print byte strings as hex encoded strings"),
    "debug": (False, "enable client-side debug logging"),
    "insecure-transport": (True, "disable transport security for client connections"),
    "insecure-discovery": (True, "accept insecure SRV records (without effect)"),
    "insecure-skip-tls-verify": (False, "skip server certificate verification"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    endpoints: tuple[str, ...]
    dial_timeout_s: float
    command_timeout_s: float
    keepalive_time_s: float
    keepalive_timeout_s: float
    ca_file: str
    certificate_file: str
    key_file: str
    user: str
    password: str
    write_out: str
    is_hex: bool
    is_secure: bool = False
    skips_verification: bool = False
    """Whether every server is taken at its word."""

    @property
    def is_tls(self) -> bool:
        """Whether endpoints without a scheme are spoken to over TLS."""
        return bool(self.ca_file or self.certificate_file or self.key_file or self.is_secure)

    def tls_context(self) -> ssl.SSLContext:
        """Return what to speak HTTPS with."""
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if self.skips_verification:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.key_file or None)
        return context


def settings_from(
    flags: Mapping[str, str | bool], environment: Mapping[str, str] = os.environ
) -> Settings:
    """Return the settings: a flag over its variable over the profile over the default.

    The profile of a local cluster is of account only while nothing says which endpoints are meant.

    Raises:
        Stop: a value makes no sense.
    """
    is_elsewhere = "endpoints" in flags or environment.get(_variable("endpoints"))
    profile = {} if is_elsewhere else _profile(environment)

    def text(name: str) -> str:
        if name in flags:
            return str(flags[name])
        return environment.get(_variable(name)) or profile.get(name, STRINGS[name][0])

    def is_on(name: str) -> bool:
        if name in flags:
            return bool(flags[name])
        value = environment.get(_variable(name))
        return BOOLEANS[name][0] if value is None else boolean(value)

    def seconds(name: str) -> float:
        try:
            return duration_s(text(name))
        except ValueError as error:
            problem = f'invalid argument "{text(name)}" for "--{name}" flag: {error}'
            raise Stop(Exit.ERROR, problem) from error

    _refuse_senseless(flags, text("discovery-srv"))
    user, separator, password = text("user").partition(":")
    if separator and text("password"):
        raise Stop(Exit.BAD_ARGS, "--user includes a password, and --password is given too")
    return Settings(
        endpoints=tuple(text("endpoints").split(",")),
        dial_timeout_s=seconds("dial-timeout"),
        command_timeout_s=seconds("command-timeout"),
        keepalive_time_s=seconds("keepalive-time"),
        keepalive_timeout_s=seconds("keepalive-timeout"),
        ca_file=text("cacert"),
        certificate_file=text("cert"),
        key_file=text("key"),
        user=user,
        password=password or text("password"),
        write_out=text("write-out"),
        is_hex=is_on("hex"),
        is_secure=not is_on("insecure-transport"),
        skips_verification=is_on("insecure-skip-tls-verify"),
    )


def _refuse_senseless(flags: Mapping[str, str | bool], discovery_srv: str) -> None:
    for name in ("cert", "key", "cacert"):
        if flags.get(name) == "":
            raise Stop(Exit.BAD_ARGS, f"empty string is passed to --{name} option")
    if discovery_srv:
        raise Stop(
            Exit.BAD_FEATURE,
            "--discovery-srv is not supported: name the members with --endpoints instead",
        )


def _profile(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return what a local cluster wrote down for its clients; nothing if there is none."""
    named = environment.get(PROFILE_VARIABLE)
    file = Path(named or PROFILE_DEFAULT)
    if not named and not file.is_file():
        return {}
    try:
        profile = json.loads(file.read_text())
        return {name: str(profile[name]) for name in profile if name in STRINGS}
    except (OSError, ValueError, TypeError) as error:
        raise Stop(Exit.ERROR, f"the profile {file} cannot be read: {error}") from error


def boolean(text: str) -> bool:
    """Return what Go's `strconv.ParseBool` does.

    Raises:
        Stop: it is neither true nor false.
    """
    if text in {"1", "t", "T", "TRUE", "true", "True"}:
        return True
    if text in {"0", "f", "F", "FALSE", "false", "False"}:
        return False
    raise Stop(Exit.ERROR, f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _variable(name: str) -> str:
    return "ETCDCTL_" + name.upper().replace("-", "_")
