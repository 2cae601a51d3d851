"""Get and list: from the cache as of a revision, or from the store's past."""

import asyncio
import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from cluster.apiserver.options import ListOptions
from cluster.apiserver.presenting import ListMeta
from cluster.apiserver.registry.call import Call
from cluster.apiserver.registry.selecting import Selection
from cluster.apiserver.services import READ_TIMEOUT_S
from cluster.apiserver.storage import Compacted, FutureRevision, Page
from cluster.apiserver.watch_cache import Entry, entry_of
from cluster.kube_api.errors import (
    CONTINUE_EXPIRED,
    ApiError,
    bad_request,
    expired,
    too_large_resource_version,
)

SLICE = 500
"""Objects that are looked at before other requests get their turn."""
STORE_PAGE = 500
TOKEN_CHARS_MAX = 4096
FORMAT = "meta.k8s.io/v1"
LIST_TOO_OLD = "The resourceVersion for the provided list is too old."
INCONSISTENT = -1
"""The revision of a continuation that takes what is there now."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A list, or a page of one."""

    entries: Sequence[Entry]
    meta: ListMeta


async def get(call: Call, revision: int | None) -> Entry:
    """Return an object: as it is now, or not older than `revision`.

    Raises:
        ApiError: 404; 504, the revision does not come.
    """
    cache = call.services.cache
    if revision is None:
        stored = await call.services.store.get(call.key)
        entry = None if stored is None else entry_of(stored)
    else:
        await at_least(call, revision)
        entry = cache.get(call.key)
    if entry is None:
        raise call.not_found()
    return entry


async def at_least(call: Call, revision: int) -> None:
    """Wait until the cache has `revision`; 0 is any.

    Raises:
        ApiError: 504, it does not come.
    """
    cache = call.services.cache
    if not await cache.wait_until(revision, timeout_s=READ_TIMEOUT_S):
        raise too_large_resource_version(revision, cache.revision)


async def list_objects(call: Call, options: ListOptions, selection: Selection) -> Listed:
    """Return the selected objects of a collection, in the order of their keys.

    Raises:
        ApiError: 400, 410, 504.
    """
    prefix = call.services.prefix(
        call.resource, call.namespace if call.resource.is_namespaced else ""
    )
    base = call.services.prefix(call.resource)
    if options.continue_token:
        revision, start = read_token(options.continue_token)
        after = f"{base}{start}"
        if not after.startswith(prefix):
            raise bad_request(f"invalid continue token: continue key is not valid: {start}")
        if revision != INCONSISTENT:
            return await _from_store(call, options, selection, prefix, after, revision)
        await call.services.cache.catch_up(timeout_s=READ_TIMEOUT_S)
        return await _from_cache(call, options, selection, prefix, after)
    exact = options.match == "Exact" or (options.limit and not options.match)
    if options.revision and exact:
        return await _from_store(call, options, selection, prefix, prefix, options.revision)
    if options.revision is None:
        await call.services.cache.catch_up(timeout_s=READ_TIMEOUT_S)
    else:
        await at_least(call, options.revision)
    return await _from_cache(call, options, selection, prefix, prefix)


async def _from_cache(
    call: Call, options: ListOptions, selection: Selection, prefix: str, after: str
) -> Listed:
    cache = call.services.cache
    revision = cache.revision
    limit = 0 if options.revision == 0 else options.limit
    if selection.name is not None and (call.namespace or not call.resource.is_namespaced):
        entry = cache.get(f"{prefix}{selection.name}")
        found = [entry] if entry is not None and selection.selects(entry) else []
        return Listed(found, ListMeta(revision=revision))
    entries = list(cache.range(prefix, after=after))
    selected = await filtered(entries, selection, limit + 1 if limit else 0)
    if not limit or len(selected) <= limit:
        return Listed(selected, ListMeta(revision=revision))
    page = selected[:limit]
    remaining = None
    if selection.is_everything:
        remaining = len(entries) - limit
    token = token_of(revision, page[-1].key.removeprefix(call.services.prefix(call.resource)))
    return Listed(page, ListMeta(revision=revision, continue_token=token, remaining=remaining))


async def filtered(entries: Iterable[Entry], selection: Selection, limit: int) -> list[Entry]:
    """Return the first `limit` (0: all) that are selected; others get their turn in between."""
    if selection.is_everything:
        return list(entries)[: limit or None]
    found = []
    for number, entry in enumerate(entries, 1):
        if selection.selects(entry):
            found.append(entry)
            if len(found) == limit:
                break
        if number % SLICE == 0:
            await asyncio.sleep(0)
    return found


async def _from_store(  # noqa: PLR0913, PLR0917  where the list begins, and as of when
    call: Call, options: ListOptions, selection: Selection, prefix: str, after: str, revision: int
) -> Listed:
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    base = call.services.prefix(call.resource)
    found: list[Entry] = []
    while True:
        page = await _page(call, options, after, end, revision)
        for position, stored in enumerate(page.items):
            entry = entry_of(stored)
            if not selection.selects(entry):
                continue
            found.append(entry)
            remaining = page.remaining + len(page.items) - position - 1
            if len(found) == options.limit and remaining:
                token = token_of(revision, stored.key.removeprefix(base))
                count = remaining if selection.is_everything else None
                meta = ListMeta(revision=revision, continue_token=token, remaining=count)
                return Listed(found, meta)
        if not page.remaining:
            return Listed(found, ListMeta(revision=revision))
        after = page.items[-1].key + "\0"


async def _page(call: Call, options: ListOptions, after: str, end: str, revision: int) -> Page:
    store = call.services.store
    limit = (
        max(options.limit, STORE_PAGE) if options.label_selector else options.limit or STORE_PAGE
    )
    try:
        return await store.list(after, end, limit=limit, revision=revision)
    except Compacted:
        if not options.continue_token:
            raise expired(LIST_TOO_OLD) from None
        start = after.removeprefix(call.services.prefix(call.resource))
        raise expired(CONTINUE_EXPIRED, continue_token=_token(INCONSISTENT, start)) from None
    except FutureRevision:
        current = await store.revision()
        raise too_large_resource_version(revision, current) from None


def token_of(revision: int, last: str) -> str:
    """Return the token that continues after the key `last`, below the resource's prefix."""
    return _token(revision, last + "\0")


def _token(revision: int, start: str) -> str:
    text = msgspec.json.encode(_Token(FORMAT, revision, start))
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def read_token(token: str) -> tuple[int, str]:
    """Return the revision and the first key of a continuation.

    Raises:
        ApiError: 400, it is none of ours.
    """
    try:
        text = base64.urlsafe_b64decode(token[:TOKEN_CHARS_MAX] + "=" * (-len(token) % 4))
        said = msgspec.json.decode(text, type=_Token)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise _bad_token(str(error)) from None
    if said.v != FORMAT or said.rv < INCONSISTENT or not said.start:
        raise _bad_token("not of this version, or incomplete")
    return said.rv, said.start


class _Token(msgspec.Struct):
    v: str
    rv: int
    start: str


def _bad_token(why: str) -> ApiError:
    return bad_request(f"invalid continue token: continue key is not valid: {why}")
