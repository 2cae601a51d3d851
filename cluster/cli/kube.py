"""The command group `kvstore kube`."""

import click


@click.group()
def kube() -> None:
    """Use the cluster as Kubernetes does."""
