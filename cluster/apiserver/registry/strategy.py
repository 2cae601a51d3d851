"""What a kind may do differently. This one is what most kinds do."""

from cluster.apiserver.options import DeleteOptions
from cluster.apiserver.registry.call import Call
from cluster.kube_api.field_errors import FieldError
from cluster.kube_api.objects import JsonObject, list_at, member


class Strategy:
    """Hooks of the verbs. Objects that are passed as new may be changed in place; old ones not."""

    keeps_status_on_create = False
    """Whether a client may create an object with a status, where status is a subresource."""
    default_propagation = "Background"
    """What becomes of dependents when a delete does not say."""
    ttl_s = 0
    """How long an object lives; 0: until it is deleted."""
    returns_deleted_object = False
    """Whether a delete answers with the object even when it is gone at once."""

    async def prepare_create(self, call: Call, obj: JsonObject) -> None:
        """Set what the server decides, after defaults, before admission."""

    async def prepare_update(self, call: Call, new: JsonObject, old: JsonObject) -> None:
        """Set what the server decides, after defaults, before admission."""

    async def create_errors(self, call: Call, obj: JsonObject) -> list[FieldError]:
        """Return what is wrong beside the rules of `kube_api`: what depends on the server."""
        return []

    async def update_errors(self, call: Call, new: JsonObject, old: JsonObject) -> list[FieldError]:
        """Return what is wrong with an update beside the rules of `kube_api`."""
        return []

    async def reserve(self, call: Call, obj: JsonObject, old: JsonObject | None) -> None:
        """Take what the object needs from elsewhere, before it is written. Not for a dry run."""

    async def release(self, call: Call, obj: JsonObject, left: JsonObject | None) -> None:
        """Give back what `obj` had and `left` (what is stored now; None: nothing) does not need."""

    def grace_s(self, obj: JsonObject, options: DeleteOptions) -> int:
        """Return how long the object may take to end; 0: it is removed at once."""
        return 0

    def is_removable(self, obj: JsonObject) -> bool:
        """Whether nothing holds an object that is being deleted."""
        return not list_at(obj, "metadata", "finalizers")

    def begin_deletion(self, call: Call, obj: JsonObject) -> None:
        """Change an object that is marked as being deleted."""

    def is_graceful(self, obj: JsonObject) -> bool:
        """Whether somebody else ends the object before it is removed."""
        return bool(member(obj, "metadata", "deletionGracePeriodSeconds"))


DEFAULT = Strategy()
