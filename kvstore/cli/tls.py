"""`kvstore tls`: an authority of one's own, and certificates for members and clients."""

from datetime import UTC, datetime
from pathlib import Path

import click

from kvstore.cli.tls_directory import TlsDirectory

HOSTS_DEFAULT = ("localhost", "127.0.0.1", "::1")
DAYS_DEFAULT = 365
_AUTHORITY_DAYS = 3650

_directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("tls"),
    show_default=True,
    callback=lambda _context, _option, value: TlsDirectory(value.resolve()),
    help="Where the certificates lie.",
)
_days_option = click.option(
    "--days", type=click.IntRange(min=1), default=DAYS_DEFAULT, show_default=True
)


@click.group()
def tls() -> None:
    """Make certificates: for a cluster of one's own, without a public authority."""


@tls.command(
    epilog="Examples: `kvstore tls init`, `kvstore tls init --host db1.lan --host 10.0.0.5`"
)
@_directory_option
@click.option("--host", "hosts", multiple=True, help="A name or IP address of the members.")
@click.option("--name", default="member", show_default=True, help="Common name of the members.")
@_days_option
def init(directory: TlsDirectory, hosts: tuple[str, ...], name: str, days: int) -> None:
    """Make an authority, a certificate for members and one for a client.

    An authority that is there already is used again, so that its certificates go on to count.
    """
    now = datetime.now(UTC)
    if directory.make_authority(now=now, days=_AUTHORITY_DAYS):
        click.echo(f"made an authority: {directory.ca}")
    directory.make("member", name, [*HOSTS_DEFAULT, *hosts], now=now, days=days)
    directory.make("client", "client", [], now=now, days=days)
    click.echo(f"made certificates for {', '.join([*HOSTS_DEFAULT, *hosts])}, and for a client")
    click.echo("Start members with:")
    click.echo("  " + " ".join(directory.member_flags()))
    click.echo("and talk to them with:")
    click.echo("  " + " ".join(f"--{name}={value}" for name, value in directory.client().items()))


@tls.command(epilog="Examples: `kvstore tls client alice`, `kvstore tls client root --days 30`")
@click.argument("name")
@_directory_option
@_days_option
def client(name: str, directory: TlsDirectory, days: int) -> None:
    """Make a certificate for the client NAME, which is its user's name if members trust it."""
    if not name or "/" in name or name in ("ca", "member"):
        raise click.BadParameter(f"{name!r} cannot be the name of a client")
    directory.make(name, name, [], now=datetime.now(UTC), days=days)
    certificate, key = directory.pair(name)
    click.echo(f"made {certificate} and {key}")


@tls.command(epilog="Example: `kvstore tls revoke alice`, then `--client-crl-file tls/crl.pem`")
@click.argument("name")
@_directory_option
def revoke(name: str, directory: TlsDirectory) -> None:
    """Add the certificate of NAME to the list of those that count no more."""
    count = directory.revoke(name, now=datetime.now(UTC), days=_AUTHORITY_DAYS)
    click.echo(f"{directory.crl} lists {count}; members notice within a second")
