"""Eviction: a delete that asks the disruption budgets first."""

from collections.abc import Iterable

from cluster.apiserver.options import delete_options
from cluster.apiserver.registry import deleting, writing
from cluster.apiserver.registry.call import Call
from cluster.apiserver.wire_form import decode
from cluster.kube_api.catalogue import BY_PLURAL
from cluster.kube_api.errors import ApiError, disruption_budget, internal, too_many_requests
from cluster.kube_api.objects import JsonObject, integer_at, member, object_at, string_at
from cluster.kube_api.selectors import label_selector

BUDGETS = BY_PLURAL["policy", "v1", "poddisruptionbudgets"]
_NOT_COUNTED = frozenset({"Succeeded", "Failed", "Pending"})
_VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."


async def evict(call: Call, wanted: JsonObject) -> None:
    """Delete the pod with the options of an Eviction, if its budget lets it go.

    Raises:
        ApiError: 404, 409; 429, not now.
    """
    call.subresource = ""
    options = delete_options({}, [], object_at(wanted, "deleteOptions"))
    stored = await call.services.store.get(call.key)
    if stored is None:
        raise call.not_found()
    pod = decode(stored.value)
    is_counted = (
        string_at(pod, "status", "phase") not in _NOT_COUNTED
        and member(pod, "metadata", "deletionTimestamp") is None
    )
    budgets = list(_budgets(call, pod)) if is_counted else []
    if len(budgets) > 1:
        raise internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does"
            " not support."
        )
    if budgets and not options.is_dry_run:
        await _take(call, budgets[0])
    call.options = type(call.options)(is_dry_run=options.is_dry_run or call.options.is_dry_run)
    await deleting.delete(call, options)


def _budgets(call: Call, pod: JsonObject) -> Iterable[str]:
    """Return the names of the budgets that count the pod."""
    labels = object_at(pod, "metadata", "labels")
    for entry in call.services.cache.range(call.services.prefix(BUDGETS, call.namespace)):
        budget = entry.decoded()
        selector = member(budget, "spec", "selector")
        if selector is not None and label_selector(selector).matches(labels):
            yield string_at(budget, "metadata", "name")


async def _take(call: Call, name: str) -> None:
    """Count one disruption, in one step with the look at what is left of the budget."""
    pod = call.name

    async def change(budget: JsonObject) -> JsonObject:
        status = object_at(budget, "status")
        generation = integer_at(budget, "metadata", "generation")
        if integer_at(status, "observedGeneration") < generation:
            raise too_many_requests(_VIOLATES, retry_after_s=10)
        if integer_at(status, "disruptionsAllowed") <= 0:
            needs, has = (integer_at(status, n) for n in ("desiredHealthy", "currentHealthy"))
            raise disruption_budget(name, needs, has)
        disrupted = object_at(status, "disruptedPods") | {pod: call.services.now()}
        budget["status"] = status | {
            "disruptionsAllowed": integer_at(status, "disruptionsAllowed") - 1,
            "disruptedPods": disrupted,
        }
        return budget

    one = Call(
        services=call.services,
        resource=BUDGETS,
        user=call.user,
        namespace=call.namespace,
        name=name,
        subresource="status",
    )
    try:
        await writing.modify(one, change)
    except ApiError as error:
        if error.reason != "NotFound":
            raise  # a budget that went in between asks for nothing
