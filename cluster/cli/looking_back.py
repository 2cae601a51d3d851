"""The commands `history` and `diff` of `kvstore kube`."""

import click

from cluster.cli import history as past
from cluster.kube_api.objects import JsonObject

_endpoints = click.option(
    "--endpoints", default="127.0.0.1:2379", show_default=True, help="The store's members."
)
_namespace = click.option("-n", "--namespace", default="default", show_default=True)


@click.command(epilog="Example: `kvstore kube history deployment web`")
@click.argument("resource")
@click.argument("name")
@_namespace
@_endpoints
@click.option("--limit", default=50, show_default=True, help="How many revisions, at most.")
def history(resource: str, name: str, namespace: str, endpoints: str, limit: int) -> None:
    """List the revisions of an object, newest first, with who wrote last."""
    for moment in _moments(resource, name, namespace, endpoints, limit):
        if moment.obj is None:
            click.echo(f"{moment.revision}\tdoes not exist")
            continue
        metadata = moment.obj["metadata"]
        managers: list[JsonObject] = metadata.get("managedFields") or []
        last: JsonObject = max(managers, key=lambda one: str(one.get("time", "")), default={})
        told = (f"generation {metadata.get('generation', '-')}", last.get("manager", "-"))
        click.echo("\t".join((str(moment.revision), last.get("time", "-"), *told)))


@click.command(epilog="Example: `kvstore kube diff deployment web`")
@click.argument("resource")
@click.argument("name")
@_namespace
@_endpoints
@click.option("--revision", type=int, help="The newer one; default: the last.")
def diff(resource: str, name: str, namespace: str, endpoints: str, revision: int | None) -> None:
    """Show what the last write of an object changed, or the one at a revision."""
    moments = _moments(resource, name, namespace, endpoints, 0)
    if revision is not None:
        moments = [one for one in moments if one.revision <= revision]
    if not moments:
        raise click.ClickException("there is no such revision, or it is forgotten")
    older = moments[1] if len(moments) > 1 else past.Moment(0, None)
    click.echo(past.difference(older, moments[0]), nl=False)


def _moments(
    resource: str, name: str, namespace: str, endpoints: str, limit: int
) -> list[past.Moment]:
    try:
        key = past.key_of(resource, namespace, name)
    except past.UnknownResource:
        raise click.ClickException(
            f"no built-in resource is called {resource}; a custom one is PLURAL.GROUP"
        ) from None
    return past.read(endpoints, key, limit=limit)
