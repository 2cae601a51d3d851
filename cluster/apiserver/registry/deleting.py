"""Delete: preconditions, what becomes of dependents, grace, finalizers, and removal at last."""

from cluster.apiserver.admission.plugin import Operation
from cluster.apiserver.options import DeleteOptions, ListOptions
from cluster.apiserver.registry.call import Call
from cluster.apiserver.registry.reading import list_objects
from cluster.apiserver.registry.selecting import Selection
from cluster.apiserver.registry.strategies import strategy_of
from cluster.apiserver.registry.writing import UPDATE_ATTEMPTS, is_over
from cluster.apiserver.services import timestamp
from cluster.apiserver.storage import Modified, Stored
from cluster.apiserver.watch_cache import Entry
from cluster.apiserver.wire_form import decode, encode, object_of, stored_bytes, with_revision
from cluster.kube_api.errors import ApiError, conflict
from cluster.kube_api.objects import JsonObject, list_at, member, string_at

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_FINALIZER_OF = {"Orphan": ORPHAN, "Foreground": FOREGROUND}


async def delete(call: Call, options: DeleteOptions) -> tuple[JsonObject, bool]:
    """Delete an object, or mark it; return it, and whether it is gone.

    Raises:
        ApiError: 404, 409, or what admission says.
    """
    services = call.services
    entry = services.cache.get(call.key)
    current = None if entry is None else Stored(entry.key, entry.value, entry.revision)
    is_certain = False
    for _ in range(UPDATE_ATTEMPTS):
        if current is None or (not is_certain and (options.uid or options.resource_version)):
            current, is_certain = await services.store.get(call.key), True
        if current is None:
            raise call.not_found()
        try:
            return await _delete_seen(call, options, current)
        except Modified as newer:
            current, is_certain = newer.current, True
            if current is None:
                raise call.not_found() from None
    raise call.conflict()


async def _delete_seen(
    call: Call, options: DeleteOptions, current: Stored
) -> tuple[JsonObject, bool]:
    services, strategy = call.services, strategy_of(call.resource)
    old = object_of(current.value, current.revision)
    _check_preconditions(call, options, old)
    await services.mutate(call.attributes(Operation.DELETE, None, old, options=options))
    await services.validate(call.attributes(Operation.DELETE, None, old, options=options))
    obj = decode(current.value)
    _set_policy_finalizers(call, options, obj)
    marked = _marked(call, options, obj)
    if is_over(call, marked):
        if options.is_dry_run:
            return with_revision(marked, current.revision), True
        revision = await services.store.delete(call.key, seen=current.revision)
        await strategy.release(call, obj, None)
        return with_revision(obj, revision), True
    value = stored_bytes(marked)
    if options.is_dry_run or value == stored_bytes(decode(current.value)):
        return with_revision(marked, current.revision), False
    revision = await services.store.update(call.key, value, seen=current.revision)
    return with_revision(marked, revision), False


def _check_preconditions(call: Call, options: DeleteOptions, old: JsonObject) -> None:
    metadata = old["metadata"]
    if options.uid and options.uid != metadata.get("uid"):
        raise _precondition(
            call,
            f"the UID in the precondition ({options.uid}) does not match the UID in record"
            f" ({metadata.get('uid')}). The object might have been deleted and then recreated",
        )
    version = options.resource_version
    if version and version != metadata["resourceVersion"]:
        raise _precondition(
            call,
            f"the ResourceVersion in the precondition ({version}) does not match the"
            f" ResourceVersion in record ({metadata['resourceVersion']})."
            " The object might have been modified",
        )


def _precondition(call: Call, why: str) -> ApiError:
    """Return the conflict; of preconditions alone it names the kind, not the resource."""
    return conflict(call.resource.kind, call.resource.group, call.name, why)


def _set_policy_finalizers(call: Call, options: DeleteOptions, obj: JsonObject) -> None:
    """Note in the finalizers what the garbage collector shall do with the dependents."""
    finalizers = list_at(obj, "metadata", "finalizers")
    propagation = options.propagation
    if not propagation:
        if ORPHAN in finalizers or FOREGROUND in finalizers:
            return
        propagation = strategy_of(call.resource).default_propagation
    wanted = _FINALIZER_OF.get(propagation)
    kept = [name for name in finalizers if name not in {ORPHAN, FOREGROUND} or name == wanted]
    if wanted is not None and wanted not in kept:
        kept.append(wanted)
    if kept:
        obj["metadata"]["finalizers"] = kept
    else:
        obj["metadata"].pop("finalizers", None)


def _marked(call: Call, options: DeleteOptions, obj: JsonObject) -> JsonObject:
    """Return the object marked as being deleted; one that is already can only be hurried."""
    strategy, clock = strategy_of(call.resource), call.services.clock
    marked = decode(encode(obj))
    metadata = marked["metadata"]
    grace_s = strategy.grace_s(marked, options)
    if metadata.get("deletionTimestamp") is not None:
        left_s = member(metadata, "deletionGracePeriodSeconds") or 0
        if options.grace_s is None or grace_s >= left_s:
            return marked
        metadata["deletionGracePeriodSeconds"] = grace_s
        metadata["deletionTimestamp"] = timestamp(clock.unix() + grace_s)
        return marked
    metadata["deletionTimestamp"] = timestamp(clock.unix() + grace_s)
    metadata["deletionGracePeriodSeconds"] = grace_s
    if "generation" in metadata:
        metadata["generation"] += 1
    strategy.begin_deletion(call, marked)
    return marked


async def delete_collection(
    call: Call, options: DeleteOptions, listing: ListOptions, selection: Selection
) -> tuple[list[Entry], int]:
    """Delete what is selected; return it as it was, and the revision of that list."""
    listed = await list_objects(call, listing, selection)
    for entry in listed.entries:
        obj = entry.decoded()
        one = Call(
            services=call.services,
            resource=call.resource,
            user=call.user,
            namespace=string_at(obj, "metadata", "namespace"),
            name=string_at(obj, "metadata", "name"),
            options=call.options,
            manager=call.manager,
            warnings=call.warnings,
        )
        try:
            await delete(one, options)
        except ApiError as error:
            if error.reason != "NotFound":
                raise  # somebody else deleted it: that is what was wanted
    return list(listed.entries), listed.meta.revision
