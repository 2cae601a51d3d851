"""What every namespace has: a ServiceAccount `default`, and the authority's certificate."""

from cluster.controllers.pod_facts import is_deleting
from cluster.controllers.pod_owner import is_namespace_terminating
from cluster.informer.api import ApiError, Ref, is_already_exists, ref_to
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from cluster.informer.store import Change
from cluster.kube_api.objects import JsonObject, object_at
from cluster.kube_api.resource import Resource

ACCOUNT = "default"
CERTIFICATE = "kube-root-ca.crt"
_KEY = "ca.crt"


class _PerNamespace(Controller):
    """Keeps one object of a name in every namespace that is not going."""

    def __init__(self, environment: Environment, resource: Resource, name: str) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        self._resource = resource
        self._object_name = name
        self._namespaces = environment.informers.store(NAMESPACES)
        self._objects = environment.informers.store(resource)
        self.follow(environment.informers, NAMESPACES)
        environment.informers.subscribe(resource, self._object_changed)

    def _body(self) -> JsonObject:
        """Return what the object says beside its name."""
        return {}

    async def reconcile(self, key: str) -> None:
        """Create the object, or mend it."""
        namespace = self._namespaces.get(key)
        if namespace is None or is_deleting(namespace):
            return
        present = self._objects.get(f"{key}/{self._object_name}")
        wanted = self._body()
        if present is None:
            await self._create(key, wanted)
        elif any(object_at(present, part) != value for part, value in wanted.items()):
            await self._api.update(self._resource, {**present, **wanted})

    async def _create(self, namespace: str, wanted: JsonObject) -> None:
        body = {
            "apiVersion": self._resource.api_version,
            "kind": self._resource.kind,
            "metadata": {"name": self._object_name, "namespace": namespace},
            **wanted,
        }
        try:
            await self._api.create(self._resource, body)
        except ApiError as error:
            if not (is_already_exists(error) or is_namespace_terminating(error)):
                raise

    def _object_changed(self, change: Change) -> None:
        ref: Ref = ref_to(self._resource, change.object)
        if ref.name == self._object_name:
            self.enqueue(ref.namespace)


class ServiceAccountsController(_PerNamespace):
    """Keeps the ServiceAccount that pods have who name none."""

    name = "serviceaccount"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, SERVICE_ACCOUNTS, ACCOUNT)


class RootCertificateController(_PerNamespace):
    """Keeps the ConfigMap by which pods know the API server."""

    name = "root-ca-certificate-publisher"

    def __init__(self, environment: Environment, certificate: str) -> None:
        self._certificate = certificate
        super().__init__(environment, CONFIG_MAPS, CERTIFICATE)

    def _body(self) -> JsonObject:
        return {"data": {_KEY: self._certificate}}
