"""Secrets of type `kubernetes.io/service-account-token`: filled, and gone with their account."""

import base64

from cluster.controllers.ownership import uid_of
from cluster.controllers.pod_facts import is_deleting
from cluster.informer.api import ApiError, DeleteOptions, Ref, delete_if_there, is_not_found, ref_to
from cluster.informer.controller import Controller
from cluster.informer.environment import Environment
from cluster.informer.resources import SECRETS, SERVICE_ACCOUNTS
from cluster.informer.store import Change, key_of
from cluster.kube_api.objects import JsonObject, object_at, string_at

TYPE = "kubernetes.io/service-account-token"
ACCOUNT = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
LIFETIME_S = 1 << 32
"""The longest that a token may be asked for. It ends with its Secret."""


class AccountTokensController(Controller):
    """Fills a Secret with a token that is bound to it: whoever deletes the Secret ends the token.

    kube-controller-manager signs such tokens itself, without an end; here the API server does, as
    for pods, so that no other process has its key.
    """

    name = "serviceaccount-token"

    def __init__(self, environment: Environment, certificate: str) -> None:
        super().__init__(environment.clock)
        self._api = environment.api
        self._certificate = certificate
        self._secrets = environment.informers.store(SECRETS)
        self._accounts = environment.informers.store(SERVICE_ACCOUNTS)
        environment.informers.subscribe(SECRETS, self._secret_changed)
        environment.informers.subscribe(SERVICE_ACCOUNTS, self._account_changed)

    async def reconcile(self, key: str) -> None:
        """Fill one Secret, or delete it if its account is gone."""
        secret = self._secrets.get(key)
        if secret is None or is_deleting(secret) or string_at(secret, "type") != TYPE:
            return
        annotations = object_at(secret, "metadata", "annotations")
        namespace = string_at(secret, "metadata", "namespace")
        name = string_at(annotations, ACCOUNT)
        account = await self._account(Ref(SERVICE_ACCOUNTS, namespace, name))
        uid = string_at(annotations, ACCOUNT_UID)
        if account is None or (uid and uid != uid_of(account)):
            ref = ref_to(SECRETS, secret)
            await delete_if_there(self._api, ref, DeleteOptions(uid=uid_of(secret)))
            return
        wanted = {
            "ca.crt": _encoded(self._certificate),
            "namespace": _encoded(namespace),
            "token": string_at(secret, "data", "token"),
        }
        if not wanted["token"]:
            wanted["token"] = _encoded(await self._token(account, secret))
        data = {**object_at(secret, "data"), **wanted}
        if data == object_at(secret, "data") and uid:
            return
        metadata = {
            **object_at(secret, "metadata"),
            "annotations": {**annotations, ACCOUNT_UID: uid_of(account)},
        }
        await self._api.update(SECRETS, {**secret, "metadata": metadata, "data": data})

    async def _account(self, ref: Ref) -> JsonObject | None:
        """Return the account; the server is asked before it is said to be gone."""
        found = self._accounts.get(f"{ref.namespace}/{ref.name}")
        if found is not None or not ref.name:
            return found
        try:
            return await self._api.get(ref)
        except ApiError as error:
            if is_not_found(error):
                return None
            raise

    async def _token(self, account: JsonObject, secret: JsonObject) -> str:
        name = string_at(secret, "metadata", "name")
        bound = {"apiVersion": "v1", "kind": "Secret", "name": name, "uid": uid_of(secret)}
        asked: JsonObject = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": LIFETIME_S, "boundObjectRef": bound},
        }
        made = await self._api.post(ref_to(SERVICE_ACCOUNTS, account), "token", asked)
        return string_at(made, "status", "token")

    def _secret_changed(self, change: Change) -> None:
        if string_at(change.object, "type") == TYPE:
            self.enqueue(key_of(change.object))

    def _account_changed(self, change: Change) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None and uid_of(old) == uid_of(new):
            return
        namespace = string_at(change.object, "metadata", "namespace")
        name = string_at(change.object, "metadata", "name")
        for secret in self._secrets.in_namespace(namespace):
            if object_at(secret, "metadata", "annotations").get(ACCOUNT) == name:
                self._secret_changed(Change(None, secret))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
