"""What a new pod is given: an account and its token, tolerations, a priority."""

from cluster.apiserver.admission.plugin import Attributes, Operation, Plugin
from cluster.apiserver.services import Services
from cluster.apiserver.wire_form import decode
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.errors import forbidden
from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  a directory
TOKEN_LIFETIME_S = 3607
TOLERATION_S = 300
MIRROR = "kubernetes.io/config.mirror"
_ACCOUNTS = BY_PLURAL["", "v1", "serviceaccounts"]
_NAMESPACE = "metadata.namespace"
_CLASSES = BY_PLURAL["scheduling.k8s.io", "v1", "priorityclasses"]


class _PodPlugin(Plugin):
    """Looks at pods when they are created."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def mutate(self, attributes: Attributes) -> None:
        resource = attributes.resource
        if (resource.group, resource.plural, attributes.subresource) != ("", "pods", ""):
            return
        if attributes.operation is Operation.CREATE and attributes.obj is not None:
            await self.give(attributes, attributes.obj, attributes.obj.setdefault("spec", {}))

    async def give(self, attributes: Attributes, pod: JsonObject, spec: JsonObject) -> None:
        """Change the pod."""
        raise NotImplementedError

    async def find(self, key: str) -> JsonObject | None:
        """Return an object: from the cache, or, just created, from the store."""
        entry = self.services.cache.get(key)
        if entry is not None:
            return entry.decoded()
        stored = await self.services.store.get(key)
        return None if stored is None else decode(stored.value)


class ServiceAccount(_PodPlugin):
    """ServiceAccount: every pod runs as an account of its namespace, and has its token."""

    async def give(self, attributes: Attributes, pod: JsonObject, spec: JsonObject) -> None:
        """Name the account; mount its token unless pod or account say not to."""
        if MIRROR in object_at(pod, "metadata", "annotations"):
            return
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        namespace = attributes.namespace
        account = await self.find(self.services.key(_ACCOUNTS, namespace, name))
        if account is None:
            why = (
                f"error looking up service account {namespace}/{name}: serviceaccount"
                f' "{name}" not found'
            )
            raise forbidden("pods", "", attributes.name, why)
        wanted = spec.get("automountServiceAccountToken")
        if wanted is None:
            wanted = account.get("automountServiceAccountToken")
        if wanted is not False:
            self._mount(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = account["imagePullSecrets"]

    def _mount(self, spec: JsonObject) -> None:
        containers = [*list_at(spec, "initContainers"), *list_at(spec, "containers")]
        without = [
            container
            for container in containers
            if all(m.get("mountPath") != TOKEN_PATH for m in list_at(container, "volumeMounts"))
        ]
        if not without:
            return
        volume = self.services.generated_name("kube-api-access-")
        mount = {"name": volume, "readOnly": True, "mountPath": TOKEN_PATH}
        for container in without:
            container["volumeMounts"] = [*list_at(container, "volumeMounts"), dict(mount)]
        spec["volumes"] = [*list_at(spec, "volumes"), _token_volume(volume)]


def _token_volume(name: str) -> JsonObject:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": _NAMESPACE}}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_LIFETIME_S, "path": "token"}},
        {
            "configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }
        },
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 0o644}}


class DefaultTolerationSeconds(_PodPlugin):
    """DefaultTolerationSeconds: a pod stays five minutes on a node that is lost."""

    async def give(self, attributes: Attributes, pod: JsonObject, spec: JsonObject) -> None:
        """Add the tolerations that are missing."""
        tolerations = list_at(spec, "tolerations")
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
            if not any(_tolerates(one, key) for one in tolerations):
                added = {"key": key, "operator": "Exists", "effect": "NoExecute"}
                tolerations = [*tolerations, added | {"tolerationSeconds": TOLERATION_S}]
        spec["tolerations"] = tolerations


def _tolerates(toleration: JsonObject, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in (
        "NoExecute",
        None,
        "",
    )


class Priority(_PodPlugin):
    """Priority: a class by name becomes a number."""

    async def give(self, attributes: Attributes, pod: JsonObject, spec: JsonObject) -> None:
        """Set the priority of the class that is named, of the default one, or 0."""
        name = string_at(spec, "priorityClassName")
        found = await self._class(name)
        if found is None and name:
            why = f"no PriorityClass with name {name} was found"
            raise forbidden("pods", "", attributes.name, why)
        value = 0 if found is None else member(found, "value") or 0
        given = spec.get("priority")
        if given is not None and given != value:
            why = (
                f"the integer value of priority ({given}) must not be provided in pod spec;"
                f" priority admission controller computed {value} from the given PriorityClass name"
            )
            raise forbidden("pods", "", attributes.name, why)
        spec["priority"] = value
        policy = string_at(found, "preemptionPolicy") or "PreemptLowerPriority"
        spec.setdefault("preemptionPolicy", policy)
        if found is not None and not name:
            spec["priorityClassName"] = string_at(found, "metadata", "name")

    async def _class(self, name: str) -> JsonObject | None:
        if name:
            return await self.find(self.services.key(_CLASSES, "", name))
        classes = (
            entry.decoded() for entry in self.services.cache.range(self.services.prefix(_CLASSES))
        )
        defaults = [one for one in classes if one.get("globalDefault") is True]
        return min(defaults, key=lambda one: one.get("value", 0), default=None)
