"""TokenRequest: a token for a service account, perhaps bound to another object."""

from cluster.apiserver.registry.call import Call
from cluster.apiserver.services import timestamp
from cluster.apiserver.tokens import Account
from cluster.apiserver.wire_form import decode
from cluster.kube_api import field_errors
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.errors import ApiError, bad_request, conflict, internal, invalid, not_found
from cluster.kube_api.objects import JsonObject, integer_at, list_at, object_at, string_at

LIFETIME_S_DEFAULT = 3600
LIFETIME_S_MIN = 600
LIFETIME_S_MAX = 1 << 32
_BOUND = {
    ("v1", "Pod"): BY_PLURAL["", "v1", "pods"],
    ("v1", "Secret"): BY_PLURAL["", "v1", "secrets"],
    ("v1", "Node"): BY_PLURAL["", "v1", "nodes"],
}


async def create(call: Call, wanted: JsonObject) -> JsonObject:
    """Return the TokenRequest with its token.

    Raises:
        ApiError: 404, 409, 422.
    """
    services = call.services
    if services.signer is None:
        raise internal("this server has no key to sign tokens with")
    spec = object_at(wanted, "spec")
    lifetime_s = integer_at(spec, "expirationSeconds", default=LIFETIME_S_DEFAULT)
    _check(lifetime_s)
    stored = await services.store.get(call.key)
    if stored is None:
        raise call.not_found()
    account = decode(stored.value)
    audiences = [str(one) for one in list_at(spec, "audiences")] or [services.signer.audience]
    reference = object_at(spec, "boundObjectRef")
    bound = await _bound(call, reference) if reference else {}
    token, end = services.signer.sign(
        Account(
            call.namespace, call.name, string_at(account, "metadata", "uid"), services.uid(), bound
        ),
        audiences=audiences,
        lifetime_s=lifetime_s,
    )
    now = services.now()
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.name, "namespace": call.namespace, "creationTimestamp": now},
        "spec": {
            "audiences": audiences,
            "expirationSeconds": lifetime_s,
            "boundObjectRef": reference or None,
        },
        "status": {"token": token, "expirationTimestamp": timestamp(end)},
    }


def _check(lifetime_s: int) -> None:
    path = "spec.expirationSeconds"
    if lifetime_s < LIFETIME_S_MIN:
        problem = field_errors.invalid(
            path, lifetime_s, "may not specify a duration less than 10 minutes"
        )
    elif lifetime_s > LIFETIME_S_MAX:
        problem = field_errors.invalid(
            path, lifetime_s, "may not specify a duration larger than 2^32 seconds"
        )
    else:
        return
    raise invalid("TokenRequest", "authentication.k8s.io", "", [problem])


async def _bound(call: Call, reference: JsonObject) -> dict[str, dict[str, str]]:
    """Return the claims of the object that the token shall end with."""
    kind = (string_at(reference, "apiVersion"), string_at(reference, "kind"))
    resource = _BOUND.get(kind)
    if resource is None:
        raise bad_request(f'cannot bind token for serviceaccount "{call.name}" to {kind[1]}')
    name, uid = string_at(reference, "name"), string_at(reference, "uid")
    stored = await call.services.store.get(call.services.key(resource, call.namespace, name))
    if stored is None:
        raise not_found(resource.plural, "", name)
    obj = decode(stored.value)
    found = string_at(obj, "metadata", "uid")
    if uid and uid != found:
        raise _other_uid(resource.plural, name, uid, found)
    bound = {kind[1].lower(): {"name": name, "uid": found}}
    if kind[1] == "Pod":
        if string_at(obj, "spec", "serviceAccountName") != call.name:
            raise bad_request(
                f'cannot bind token for serviceaccount "{call.name}" to pod running with different'
                f" serviceaccount name."
            )
        if node := string_at(obj, "spec", "nodeName"):
            bound["node"] = {"name": node, "uid": _node_uid(call, node)}
    return bound


def _node_uid(call: Call, name: str) -> str:
    entry = call.services.cache.get(call.services.key(_BOUND["v1", "Node"], "", name))
    return "" if entry is None else string_at(entry.decoded(), "metadata", "uid")


def _other_uid(plural: str, name: str, uid: str, found: str) -> ApiError:
    why = f"the UID in the bound object reference ({uid}) does not match the UID in record. "
    return conflict(
        plural, "", name, f"{why}The object might have been deleted and then recreated ({found})"
    )
