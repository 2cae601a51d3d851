"""Which objects of a collection a list or a watch is about."""

from dataclasses import dataclass

from cluster.apiserver.registry import rules
from cluster.apiserver.watch_cache import Entry
from cluster.kube_api.errors import bad_request
from cluster.kube_api.field_selectors import (
    EVERY_FIELD,
    METADATA_NAME,
    METADATA_NAMESPACE,
    FieldSelector,
    check_known,
    parse_field_selector,
)
from cluster.kube_api.objects import JsonObject, member, string_at
from cluster.kube_api.resource import Resource
from cluster.kube_api.selectors import (
    LabelSelector,
    SelectorSyntaxError,
    parse_label_selector,
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Conditions on labels and fields; without any, everything is selected."""

    resource: Resource
    labels: LabelSelector
    fields: FieldSelector = EVERY_FIELD

    @property
    def is_everything(self) -> bool:
        """Whether no condition is made."""
        return self.labels.is_everything and self.fields.is_everything

    @property
    def name(self) -> str | None:
        """The one name that is selected, if only one can be."""
        return self.fields.required(METADATA_NAME)

    @property
    def namespace(self) -> str | None:
        """The one namespace that is selected by a field, if only one can be."""
        return self.fields.required(METADATA_NAMESPACE)

    def selects(self, entry: Entry) -> bool:
        """Whether an object is selected."""
        if not self.labels.is_everything and not self.labels.matches(entry.labels):
            return False
        if self.fields.is_everything:
            return True
        values = entry.fields.get(self.resource.api_version)
        if values is None:
            values = field_values(self.resource, entry.decoded())
            entry.fields[self.resource.api_version] = values
        return self.fields.matches(lambda name: values.get(name, ""))


def selection(resource: Resource, label_selector: str, field_selector: str) -> Selection:
    """Read the selectors of a request.

    Raises:
        ApiError: 400.
    """
    try:
        labels = parse_label_selector(label_selector)
    except SelectorSyntaxError as error:
        raise bad_request(str(error)) from None
    fields = EVERY_FIELD
    if field_selector:
        known = {METADATA_NAME, *resource.fields}
        if resource.is_namespaced:
            known.add(METADATA_NAMESPACE)
        fields = check_known(
            parse_field_selector(field_selector),
            known,
            renamed=resource.renamed_fields,
            is_generic=not resource.fields,
            is_namespaced=resource.is_namespaced,
        )
    return Selection(resource, labels, fields)


def field_values(resource: Resource, stored: JsonObject) -> dict[str, str]:
    """Return what field selectors know of a stored object."""
    obj = rules.served_form(resource, stored)
    values = {
        METADATA_NAME: string_at(obj, "metadata", "name"),
        METADATA_NAMESPACE: string_at(obj, "metadata", "namespace"),
    }
    for name, path in resource.fields.items():
        values[name] = _text(member(obj, *path.split(".")), path)
    return values


def _text(value: object, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):  # status.podIPs
        return ",".join(string_at(one, "ip") for one in value)
    if value is None:
        return _ZEROS.get(path, "")
    return str(value)


_ZEROS = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "status.succeeded": "0",
    "spec.restartPolicy": "",
}
