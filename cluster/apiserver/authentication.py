"""Who asks: a certificate, a token, or nobody; and whom they speak for."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from aiohttp import web

from cluster.apiserver.authorization import Rbac, denied, impersonations
from cluster.apiserver.services import Services, unix_of
from cluster.apiserver.tokens import Account, BadToken
from cluster.apiserver.users import (
    AUTHENTICATED,
    NOBODY,
    SERVICE_ACCOUNT_PREFIX,
    User,
    service_account_groups,
    service_account_name,
)
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.errors import ApiError, internal, unauthorized
from cluster.kube_api.objects import string_at

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
DELETED_ACCOUNT_S = 60.0
"""How long the tokens of an account that is being deleted still work."""
_WEBSOCKET_PREFIX = "base64url.bearer.authorization.k8s.io."
_ACCOUNTS = BY_PLURAL["", "v1", "serviceaccounts"]
_BOUND = {kind: BY_PLURAL["", "v1", f"{kind}s"] for kind in ("pod", "secret", "node")}


class Authenticator:
    """Finds the user of a request."""

    def __init__(
        self, services: Services, rbac: Rbac, *, static_tokens: Mapping[str, User] | None = None
    ) -> None:
        self._services = services
        self._rbac = rbac
        self._static = dict(static_tokens or {})

    def user(self, request: web.BaseRequest) -> User:
        """Return who asks; nobody in particular, if nothing was shown.

        Raises:
            ApiError: 401: what was shown is not valid.
        """
        return certificate_user(request) or self._token_user(request) or NOBODY

    def _token_user(self, request: web.BaseRequest) -> User | None:
        token = _bearer(request)
        if token is None:
            return None
        try:
            return self.user_of_token(token, ())[0]
        except BadToken:
            raise unauthorized() from None

    def user_of_token(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]]:
        """Return whose token it is, and the audiences it is for.

        Raises:
            BadToken: nobody's.
        """
        for known, user in self._static.items():
            if hmac.compare_digest(known.encode(), token.encode()):
                return user, list(audiences)
        if self._services.signer is None:
            raise BadToken("no tokens are known")
        account, fitting = self._services.signer.verify(token, audiences=audiences)
        self._check_exists(account)
        return _account_user(account), fitting

    def _check_exists(self, account: Account) -> None:
        services = self._services
        entry = services.cache.get(services.key(_ACCOUNTS, account.namespace, account.name))
        if entry is None:
            raise BadToken("the service account does not exist")
        metadata = entry.decoded()["metadata"]
        if metadata.get("uid") != account.uid:
            raise BadToken("the service account is another one of the same name")
        deleted = string_at(metadata, "deletionTimestamp")
        if deleted and services.clock.unix() > unix_of(deleted) + DELETED_ACCOUNT_S:
            raise BadToken("the service account is being deleted")
        for kind, bound in (account.bound or {}).items():
            if kind == "node" and "pod" in (account.bound or {}):
                continue  # told for information; the pod is what the token is bound to
            held = services.cache.get(services.key(_BOUND[kind], account.namespace, bound["name"]))
            if held is None or string_at(held.decoded(), "metadata", "uid") != bound["uid"]:
                raise BadToken(f"the {kind} that the token is bound to is gone")

    def impersonated(self, user: User, request: web.BaseRequest) -> User:
        """Return whom the user wants to be taken for; themselves, if nobody.

        Raises:
            ApiError: 403, they may not.
        """
        wanted = list(impersonations(request.headers.items()))
        if not wanted:
            return user
        for action, _, _ in wanted:
            if not self._rbac.allows(user, action):
                raise denied(user, action)
        names = [value for _, what, value in wanted if what == "user"]
        groups = [value for _, what, value in wanted if what == "group"]
        if not names:
            shown = [f"{action.resource}:{value}" for action, _, value in wanted]
            raise _without_user(shown)
        uid = next((value for _, what, value in wanted if what == "uid"), "")
        extra: dict[str, tuple[str, ...]] = {}
        for _, what, value in wanted:
            if what.startswith("extra:"):
                key = what.removeprefix("extra:")
                extra[key] = (*extra.get(key, ()), value)
        return User(names[0], _impersonated_groups(names[0], groups), uid, extra)


def _impersonated_groups(name: str, groups: list[str]) -> tuple[str, ...]:
    if not groups and name.startswith(SERVICE_ACCOUNT_PREFIX):
        namespace = name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")[0]
        groups = list(service_account_groups(namespace))
    if name == NOBODY.name:
        return tuple(dict.fromkeys([*groups, *NOBODY.groups]))
    return tuple(dict.fromkeys([*groups, AUTHENTICATED]))


def _without_user(shown: list[str]) -> ApiError:
    return internal(f"requested {shown} without impersonating a user")


def certificate_user(request: web.BaseRequest) -> User | None:
    """Return the user that a verified client certificate names: CN, and groups by O."""
    transport = request.transport
    if transport is None:
        return None
    certificate = transport.get_extra_info("peercert")
    if not certificate:
        return None
    parts = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for key, value in parts if key == "commonName"]
    if not names:
        return None
    groups = [value for key, value in parts if key == "organizationName"]
    extra: dict[str, tuple[str, ...]] = {}
    tls = transport.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    if der:
        extra[CREDENTIAL_ID] = (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)
    return User(names[0], tuple(dict.fromkeys([*groups, AUTHENTICATED])), extra=extra)


def _account_user(account: Account) -> User:
    extra = {CREDENTIAL_ID: (f"JTI={account.token_id}",)} if account.token_id else {}
    for kind, bound in (account.bound or {}).items():
        if kind in {"pod", "node"}:
            extra[f"authentication.kubernetes.io/{kind}-name"] = (bound["name"],)
            extra[f"authentication.kubernetes.io/{kind}-uid"] = (bound["uid"],)
    return User(
        service_account_name(account.namespace, account.name),
        (*service_account_groups(account.namespace), AUTHENTICATED),
        account.uid,
        extra,
    )


def _bearer(request: web.BaseRequest) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        name = protocol.strip()
        if name.startswith(_WEBSOCKET_PREFIX):
            return _decoded(name.removeprefix(_WEBSOCKET_PREFIX))
    return None


def _decoded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        raise unauthorized() from None
