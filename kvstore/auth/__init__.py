"""Users, roles and permissions: who may touch which keys. The replicated part of authentication.

`store` holds users and roles and decides; `permissions` knows ranges; `simple_tokens` and
`jwt_tokens` turn a token into an `Identity`; `passwords` hashes. All of it is pure: apply changes
the store within its transaction, so every member decides alike; instants are handed in.

The auth revision counts changes of users and roles. A request carries the revision under which its
caller was identified, and is refused if it is older than the store's when it is applied.

Reading order: identity, permissions, store, then the tokens.
"""

from kvstore.auth.identity import ANONYMOUS, ROOT_ROLE, ROOT_USER, Identity
from kvstore.auth.permissions import Access
from kvstore.auth.store import AuthStore

__all__ = ["ANONYMOUS", "ROOT_ROLE", "ROOT_USER", "Access", "AuthStore", "Identity"]
