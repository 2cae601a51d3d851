"""Defaults of services and what leads to them. Addresses and node ports are given by the server."""

from cluster.kube_api.defaults.setting import default, each, struct
from cluster.kube_api.objects import JsonObject

_AFFINITY_S = 10800


def _service(obj: JsonObject) -> None:
    spec = struct(obj, "spec")
    default(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "ClientIP":
        client = struct(struct(spec, "sessionAffinityConfig"), "clientIP")
        default(client, timeoutSeconds=_AFFINITY_S)
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    for port in each(spec, "ports"):
        default(port, protocol="TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port")
    kind = spec["type"]
    if kind in ("NodePort", "LoadBalancer") and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if kind != "ExternalName":
        default(spec, internalTrafficPolicy="Cluster")
    if kind == "LoadBalancer":
        default(spec, allocateLoadBalancerNodePorts=True)
    struct(struct(obj, "status"), "loadBalancer")


def _endpoints(obj: JsonObject) -> None:
    for subset in each(obj, "subsets"):
        for port in each(subset, "ports"):
            default(port, protocol="TCP")


def _endpoint_slice(obj: JsonObject) -> None:
    for port in each(obj, "ports"):
        default(port, name="", protocol="TCP")


def _ingress(obj: JsonObject) -> None:
    struct(struct(obj, "status"), "loadBalancer")


def _ingress_class(obj: JsonObject) -> None:
    parameters = struct(obj, "spec").get("parameters")
    if isinstance(parameters, dict):
        default(parameters, scope="Cluster")


def _network_policy(obj: JsonObject) -> None:
    spec = struct(obj, "spec")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for rules in ("ingress", "egress"):
        for rule in each(spec, rules):
            for port in each(rule, "ports"):
                default(port, protocol="TCP")


SETTERS = {
    ("", "Service"): _service,
    ("", "Endpoints"): _endpoints,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("networking.k8s.io", "IngressClass"): _ingress_class,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
}
