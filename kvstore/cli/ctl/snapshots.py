"""snapshot save, status, restore: backups as files."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvstore.cli.ctl.failure import Exit, Stop
from kvstore.cli.ctl.framework import GoGroup, session
from kvstore.cli.ctl.go_text import size
from kvstore.cli.ctl.output.json_format import dumped
from kvstore.cli.ctl.output.table_format import table_lines
from kvstore.cli.ctl.session import write

if TYPE_CHECKING:
    from kvstore.apply.backup_file import Progress

_PRIVATE = 0o600
_DIGEST_BYTES, _BLOCK_BYTES = 32, 512


@click.group(cls=GoGroup, help="Manages etcd node snapshots")
def snapshot() -> None:
    """Hold the snapshot commands."""


@snapshot.command(help="Stores an etcd node backend snapshot to a given file")
@click.argument("words", nargs=-1)
@click.pass_context
def save(context: click.Context, words: tuple[str, ...]) -> None:
    if len(words) != 1:
        raise Stop(Exit.BAD_ARGS, "snapshot save expects one argument")
    running = session(context)
    endpoints = running.settings.endpoints
    if len(endpoints) != 1:
        listed = " ".join(endpoints)
        text = f"snapshot must be requested to one selected node, not multiple [{listed}]"
        raise Stop(Exit.BAD_ARGS, text)
    path = Path(words[0])
    part = path.with_name(path.name + ".part")
    version, total = "", 0
    try:
        with (
            os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "wb") as file,
            running.client() as client,
            _bar("receiving", 0) as progress,
        ):
            for blob, said in client.snapshot():
                version = said or version
                file.write(blob)
                total += len(blob)
                progress(len(blob))
            file.flush()
            os.fsync(file.fileno())
        if is_whole := total % _BLOCK_BYTES == _DIGEST_BYTES:
            part.rename(path)
    except OSError as problem:
        raise Stop(Exit.ERROR, f"could not save the snapshot: {problem}") from problem
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if not is_whole:
        part.unlink()
        raise Stop(Exit.ERROR, f"sha256 checksum not found [bytes: {total}]")
    write(f"Snapshot saved at {path}")
    if version:
        write(f"Server version {version}")


@snapshot.command(help="Gets backend snapshot status of a given file")
@click.argument("words", nargs=-1)
@click.pass_context
def status(context: click.Context, words: tuple[str, ...]) -> None:
    from kvstore.apply.snapshot import CorruptSnapshot
    from kvstore.server.restore import summary

    if len(words) != 1:
        raise Stop(Exit.BAD_ARGS, "snapshot status requires exactly one argument")
    path = Path(words[0])
    try:
        with _bar("checking", 2 * path.stat().st_size) as progress:
            found = summary(path, progress)
    except (OSError, CorruptSnapshot) as problem:
        raise Stop(Exit.ERROR, str(problem)) from problem
    row = [f"{found.hash:x}", str(found.revision), str(found.keys), size(found.bytes), "3.6.0"]
    match session(context).settings.write_out:
        case "simple":
            write(", ".join(row))
        case "json":
            write(
                dumped(
                    {
                        "hash": found.hash,
                        "revision": found.revision,
                        "totalKey": found.keys,
                        "totalSize": found.bytes,
                        "version": "3.6.0",
                    }
                )
            )
        case "table":
            titles = ("hash", "revision", "total keys", "total size", "version")
            for line in table_lines(titles, [row]):
                write(line)
        case "fields":
            for name, value in (
                ("Hash", found.hash),
                ("Revision", found.revision),
                ("Keys", found.keys),
                ("Size", found.bytes),
            ):
                write(f'"{name}" : {value}')
            write('"Version" : "3.6.0"')
        case _:
            raise Stop(Exit.BAD_FEATURE, "protobuf not supported as output format")


@snapshot.command(help="Restores an etcd member snapshot to an etcd directory")
@click.argument("words", nargs=-1)
@click.option("--data-dir", default="", help="Path to the data directory")
@click.option("--wal-dir", default="", help="Path to the WAL directory")
@click.option("--name", default="default", help="Human-readable name for this member")
@click.option("--initial-cluster", default="", help="Initial cluster configuration for restore")
@click.option("--initial-cluster-token", default="etcd-cluster", help="Initial cluster token")
@click.option(
    "--initial-advertise-peer-urls",
    default="http://localhost:2380",
    help="List of this member's peer URLs to advertise to the rest of the cluster",
)
@click.option("--skip-hash-check", is_flag=True, help="Ignore snapshot integrity hash value")
@click.option("--bump-revision", default=0, help="How much to increase the latest revision")
@click.option("--mark-compacted", is_flag=True, help="Mark the latest revision as compacted")
def restore(  # noqa: PLR0913, PLR0917 - etcdutl's flags
    words: tuple[str, ...],
    data_dir: str,
    wal_dir: str,
    name: str,
    initial_cluster: str,
    initial_cluster_token: str,
    initial_advertise_peer_urls: str,
    *,
    skip_hash_check: bool,
    bump_revision: int,
    mark_compacted: bool,
) -> None:
    from kvstore.apply.snapshot import CorruptSnapshot
    from kvstore.base.errors import KvstoreError
    from kvstore.server.restore import Plan, RestoreRefused
    from kvstore.server.restore import restore as restore_from

    if len(words) != 1:
        raise Stop(Exit.BAD_ARGS, "snapshot restore requires exactly one argument")
    path = Path(words[0])
    try:
        plan = Plan.of(
            data_dir=Path(data_dir or f"{name}.etcd"),
            wal_dir=Path(wal_dir) if wal_dir else None,
            name=name,
            initial_cluster=initial_cluster,
            token=initial_cluster_token,
            advertised_peer_urls=initial_advertise_peer_urls,
            skips_hash_check=skip_hash_check,
            revision_bump=bump_revision,
            marks_compacted=mark_compacted,
        )
        with _bar("restoring", 2 * path.stat().st_size) as progress:
            restored = restore_from(path, plan, progress)
    except (OSError, ValueError, CorruptSnapshot, RestoreRefused, KvstoreError) as problem:
        raise Stop(Exit.ERROR, str(problem)) from problem
    for member, addresses in sorted(plan.founders.peer_urls.items()):
        click.echo(
            f"added member {member:x} [{' '.join(addresses)}] to cluster {restored.cluster_id:x}",
            err=True,
        )
    click.echo(
        f"restored snapshot {path} to {plan.data_dir}: member {restored.member_id:x} of cluster "
        f"{restored.cluster_id:x}, revision {restored.revision}",
        err=True,
    )


@contextmanager
def _bar(label: str, length: int) -> "Iterator[Progress]":
    """Show progress on a terminal, on standard error; else nothing."""
    if not sys.stderr.isatty() or not length:
        yield lambda count, /: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update
