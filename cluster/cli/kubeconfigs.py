"""The command `kvstore kube kubeconfig`: where it is, and into which file it goes."""

from pathlib import Path

import click

from cluster.launcher import kubeconfig as files
from cluster.launcher.companion import kubeconfig_of

DIRECTORY_DEFAULT = Path(".kvstore") / "local"


@click.command(epilog="Examples: `kvstore kube kubeconfig`, `kvstore kube kubeconfig --merge`")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DIRECTORY_DEFAULT,
    show_default=True,
    help="The directory of the local cluster.",
)
@click.option("--merge", is_flag=True, help="Add it to your own kubeconfig, and make it current.")
@click.option("--remove", is_flag=True, help="Take it out of your own kubeconfig.")
def kubeconfig(directory: Path, *, merge: bool, remove: bool) -> None:
    """Print the kubeconfig of a local cluster, or change your own."""
    path = kubeconfig_of(directory.resolve())
    if not path.exists():
        raise click.ClickException(f"{path} is not there; `kvstore local up --kube` makes it")
    own = files.default_path()
    try:
        if remove:
            name = files.read(path)["current-context"]
            files.write(own, files.without(files.read(own), name))
            click.echo(f"removed {name} from {own}")
        elif merge:
            document = files.read(path)
            files.write(own, files.merged(files.read(own), document))
            click.echo(f"{own} has {document['current-context']}, and it is the current context")
        else:
            click.echo(path.read_text(), nl=False)
    except files.BadKubeconfig as error:
        raise click.ClickException(str(error)) from error
