"""etcd's YAML configuration file (`--config-file`): the settings of the flags, and nothing else.

The two groups of TLS settings are nested, as in etcd's file. What the file says, it says alone:
flags and variables beside it are ignored, which is said in the log.
"""

from collections.abc import Mapping
from pathlib import Path

from kvstore.server.flags import FLAGS, FlagError, check_value

_PREFIXES = {"client-transport-security": "", "peer-transport-security": "peer-"}
"""What is nested, and how the flags begin that it stands for."""
_RENAMED = {
    "allowed-hostnames": "cert-allowed-hostname",
    "allowed-hostname": "cert-allowed-hostname",
    "allowed-cn": "cert-allowed-cn",
    "client-allowed-hostname": "client-cert-allowed-hostname",
}


def read_config_file(path: Path) -> dict[str, str]:
    """Return the values of flags that a file sets.

    Raises:
        FlagError: it cannot be read, or sets what does not exist or a value that is none.
    """
    import yaml  # noqa: PLC0415 - few members have such a file, and it takes long to load

    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise FlagError(f"error loading config file {path}: {problem}") from problem
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise FlagError(f"error loading config file {path}: it holds no settings")
    given: dict[str, str] = {}
    for key, value in content.items():
        prefix = _PREFIXES.get(key)
        if prefix is not None and isinstance(value, Mapping):
            for name, nested in value.items():
                _set(given, prefix + _RENAMED.get(str(name), str(name)), nested, path)
        else:
            _set(given, str(key), value, path)
    return given


def _set(given: dict[str, str], name: str, value: object, path: Path) -> None:
    flag = FLAGS.get(name)
    if flag is None:
        raise FlagError(f"error loading config file {path}: unknown setting {name!r}")
    text = _text(value)
    if text or flag.is_boolean:
        check_value(flag, name, text)
        given[flag.name] = text


def _text(value: object) -> str:
    """Return a YAML value as the flag would be written."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value)
