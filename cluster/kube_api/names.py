"""How things may be called: functions that say what is wrong with a name, in Kubernetes' words."""

import re
from collections.abc import Callable, Sequence

NameRule = Callable[[str], list[str]]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_QUALIFIED})?"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"

LABEL_CHARS_MAX = 63
SUBDOMAIN_CHARS_MAX = 253
PORT_NAME_CHARS_MAX = 15


def _regex_text(what: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{what} (e.g. {shown}regex used for validation is '{pattern}')"


_SUBDOMAIN_TEXT = _regex_text(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.',"
    " and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_LABEL_TEXT = _regex_text(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-',"
    " and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_LABEL_1035_TEXT = _regex_text(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
    " alphabetic character, and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_QUALIFIED_SHAPE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character"
)
_QUALIFIED_EXAMPLES = ("MyName", "my.name", "123-abc")
_LABEL_VALUE_TEXT = _regex_text(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.',"
    " and must start and end with an alphanumeric character",
    _LABEL_VALUE,
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_TEXT = _regex_text(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)


def _checked(name: str, pattern: str, text: str, chars_max: int) -> list[str]:
    problems = []
    if len(name.encode()) > chars_max:
        problems.append(f"must be no more than {chars_max} characters")
    if re.fullmatch(pattern, name) is None:
        problems.append(text)
    return problems


def dns_subdomain(name: str) -> list[str]:
    """The rule of most object names (RFC 1123)."""
    return _checked(name, _SUBDOMAIN, _SUBDOMAIN_TEXT, SUBDOMAIN_CHARS_MAX)


def dns_label(name: str) -> list[str]:
    """The rule of namespaces, containers and volumes."""
    return _checked(name, _LABEL, _LABEL_TEXT, LABEL_CHARS_MAX)


def dns_1035_label(name: str) -> list[str]:
    """The rule of services."""
    return _checked(name, _LABEL_1035, _LABEL_1035_TEXT, LABEL_CHARS_MAX)


def path_segment(name: str) -> list[str]:
    """The rule of names that need only fit into a URL, as of RBAC."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def qualified_name(name: str) -> list[str]:
    """The rule of label and annotation keys, finalizers and extended resources: `prefix/name`."""
    prefix, slash, local = name.rpartition("/")
    if "/" in prefix:
        shape = _regex_text(
            f"a qualified name {_QUALIFIED_SHAPE}", _QUALIFIED, *_QUALIFIED_EXAMPLES
        )
        return [
            f"{shape} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    problems = []
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash:
        problems += [f"prefix part {problem}" for problem in dns_subdomain(prefix)]
    if not local:
        problems.append("name part must be non-empty")
    elif len(local) > LABEL_CHARS_MAX:
        problems.append(f"name part must be no more than {LABEL_CHARS_MAX} characters")
    if re.fullmatch(_QUALIFIED, local) is None:
        problems.append(
            _regex_text(f"name part {_QUALIFIED_SHAPE}", _QUALIFIED, *_QUALIFIED_EXAMPLES)
        )
    return problems


def label_value(value: str) -> list[str]:
    """The rule of label values."""
    return _checked(value, _LABEL_VALUE, _LABEL_VALUE_TEXT, LABEL_CHARS_MAX)


def config_key(key: str) -> list[str]:
    """The rule of the keys of ConfigMaps and Secrets."""
    if key in (".", "..") or key.startswith(".."):
        shown = key if key in (".", "..") else ".."
        return [f"must not be '{shown}'" if key == shown else f"must not start with '{shown}'"]
    return _checked(key, _CONFIG_KEY, _CONFIG_KEY_TEXT, SUBDOMAIN_CHARS_MAX)


def port_name(name: str) -> list[str]:
    """The rule of the names of container ports (IANA service names, RFC 6335)."""
    problems = []
    if len(name) > PORT_NAME_CHARS_MAX:
        problems.append(f"must be no more than {PORT_NAME_CHARS_MAX} characters")
    if re.fullmatch(r"[-a-z0-9]+", name) is None:
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if re.search(r"[a-z]", name) is None:
        problems.append("must contain at least one letter (a-z)")
    if "--" in name:
        problems.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(number: int) -> list[str]:
    """The rule of ports."""
    return [] if 0 < number < 1 << 16 else ["must be between 1 and 65535, inclusive"]


def environment_name(name: str) -> list[str]:
    """The rule of the names of environment variables."""
    if not name or re.fullmatch(r"[ -<>-~]+", name) is None:
        return [
            "a valid environment variable name must consist only of printable ASCII characters"
            " other than '='"
        ]
    return []


def as_prefix(rule: NameRule) -> NameRule:
    """Return the rule of `generateName`: the base of a name may end where no name may."""

    def checked(base: str) -> list[str]:
        return rule(f"{base[:-1]}a" if base.endswith("-") else base)

    return checked


GENERATED_BASE_CHARS_MAX = 58
GENERATED_SUFFIX_CHARS = 5
GENERATED_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def generated(base: str, dice: Sequence[int]) -> str:
    """Return `base` with a suffix that says `dice`, five numbers below 27."""
    assert len(dice) == GENERATED_SUFFIX_CHARS
    suffix = "".join(GENERATED_ALPHABET[number] for number in dice)
    return base[:GENERATED_BASE_CHARS_MAX] + suffix
