"""Field selectors, as `status.phase!=Failed`: the few fields that lists and watches select by.

Kubernetes' `fields.ParseSelector`. Which fields a kind knows is in the catalogue.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from cluster.kube_api.errors import ApiError, bad_request
from cluster.kube_api.objects import joined_quoted, quoted
from cluster.kube_api.selectors import SELECTOR_CHARS_MAX

METADATA_NAME = "metadata.name"
METADATA_NAMESPACE = "metadata.namespace"


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One field has, or has not, one value."""

    field: str
    value: str
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.field}{'!=' if self.negated else '='}{_escaped(self.value)}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Conditions that all have to hold; without any, everything matches."""

    requirements: tuple[FieldRequirement, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Whether no condition is made."""
        return not self.requirements

    def required(self, field: str) -> str | None:
        """Return the value that `field` has to have, if exactly one will do."""
        for requirement in self.requirements:
            if requirement.field == field and not requirement.negated:
                return requirement.value
        return None

    def matches(self, value_of: Callable[[str], str]) -> bool:
        """Say whether the fields, as `value_of` tells them, fulfil every requirement."""
        return all(
            (value_of(requirement.field) == requirement.value) != requirement.negated
            for requirement in self.requirements
        )

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERY_FIELD = FieldSelector()


def parse_field_selector(text: str) -> FieldSelector:
    """Read a field selector.

    Raises:
        ApiError: 400; a term is no comparison, or an escape is unknown.
    """
    if len(text) > SELECTOR_CHARS_MAX:
        raise bad_request(f"selector is longer than {SELECTOR_CHARS_MAX} characters")
    requirements = []
    for term in _terms(text):
        if not term:
            continue
        field, operator, value = _split(term)
        if not operator:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        requirements.append(FieldRequirement(field, _unescaped(value), negated=operator == "!="))
    return FieldSelector(tuple(requirements))


def check_known(
    selector: FieldSelector,
    known: Collection[str],
    *,
    renamed: Mapping[str, str] | None = None,
    is_generic: bool,
    is_namespaced: bool = True,
) -> FieldSelector:
    """Return `selector` if every field of it is known; old names of fields are replaced.

    Raises:
        ApiError: 400; a field is unknown. Kinds without fields of their own (`is_generic`) have
            another text than those with some.
    """
    requirements = []
    for requirement in selector.requirements:
        field = (renamed or {}).get(requirement.field, requirement.field)
        if field not in known:
            raise _unknown(requirement.field, is_generic=is_generic, is_namespaced=is_namespaced)
        requirements.append(FieldRequirement(field, requirement.value, requirement.negated))
    return FieldSelector(tuple(requirements))


def _unknown(field: str, *, is_generic: bool, is_namespaced: bool) -> ApiError:
    if not is_generic:
        return bad_request(f"field label not supported: {field}")
    fields = [METADATA_NAME, METADATA_NAMESPACE] if is_namespaced else [METADATA_NAME]
    return bad_request(
        f"{quoted(field)} is not a known field selector: only {joined_quoted(fields)}"
    )


def _terms(text: str) -> list[str]:
    terms, start, escaped = [], 0, False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            terms.append(text[start:at])
            start = at + 1
    return [*terms, text[start:]]


def _split(term: str) -> tuple[str, str, str]:
    escaped = False
    for at, char in enumerate(term):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            for operator in ("!=", "==", "="):
                if term.startswith(operator, at):
                    return term[:at], operator, term[at + len(operator) :]
    return term, "", ""


def _unescaped(value: str) -> str:
    chars, rest = [], iter(value)
    for char in rest:
        if char == "\\":
            following = next(rest, "")
            if following not in ("\\", ",", "=") or not following:
                raise bad_request(f"invalid field selector: invalid escape sequence: \\{following}")
            chars.append(following)
        elif char in (",", "="):
            raise bad_request(
                f"invalid field selector: unescaped character in value: {value} ({char})"
            )
        else:
            chars.append(char)
    return "".join(chars)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
