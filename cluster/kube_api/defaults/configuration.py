"""Defaults of secrets, nodes, and of the API's own objects."""

import base64

from cluster.kube_api.defaults.setting import default, each, struct
from cluster.kube_api.objects import JsonObject


def _secret(obj: JsonObject) -> None:
    default(obj, type="Opaque")
    texts = obj.pop("stringData", None)
    if texts:
        written = {
            key: base64.b64encode(str(text).encode()).decode() for key, text in texts.items()
        }
        obj["data"] = (obj.get("data") or {}) | written


def _node(obj: JsonObject) -> None:
    status = struct(obj, "status")
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def _api_service(obj: JsonObject) -> None:
    service = struct(obj, "spec").get("service")
    if isinstance(service, dict):
        default(service, port=443)


def _custom_resource_definition(obj: JsonObject) -> None:
    spec = struct(obj, "spec")
    names = struct(spec, "names")
    kind = str(names.get("kind") or "")
    default(names, singular=kind.lower(), listKind=f"{kind}List" if kind else None)
    default(struct(spec, "conversion"), strategy="None")
    for version in each(spec, "versions"):
        default(version, served=False, storage=False)


def _flow_schema(obj: JsonObject) -> None:
    default(struct(obj, "spec"), matchingPrecedence=1000)


SETTERS = {
    ("", "Secret"): _secret,
    ("", "Node"): _node,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _custom_resource_definition,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): _flow_schema,
}
