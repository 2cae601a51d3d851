"""`kvstored`: one member, with etcd's flags.

Imports of the server itself wait until the flags are known to be good, so that `--version`,
`--help` and mistakes answer at once.
"""

import asyncio
import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from kvstore.base.errors import MemberFailed, MemberRemoved
from kvstore.base.version import ETCD_VERSION
from kvstore.server import flags
from kvstore.server.config import ConfigurationRefused, LogConfig, ServerConfig, load
from kvstore.server.logs import logging_to

EXIT_FAILED = 1
EXIT_USAGE = 2

logger = logging.getLogger(__name__)


def main() -> None:
    """Run the console script."""
    sys.exit(kvstored(sys.argv[1:], os.environ))


def kvstored(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Do what the command line says; return the exit code."""
    if arguments and arguments[0].lstrip("-") == "version":
        print(version_text())
        return 0
    try:
        config = load(arguments, environment)
    except flags.HelpWanted:
        print(flags.usage(), end="")
        return 0
    except flags.FlagError as error:
        print(f"{error}\n{flags.usage()}", end="", file=sys.stderr)
        return EXIT_USAGE
    except ConfigurationRefused as refusal:
        with logging_to(LogConfig()):
            return _refused(refusal)
    with logging_to(config.log):
        return _serve(config)


def version_text() -> str:
    """Return what `--version` prints; scripts parse the first line."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return "\n".join(
        (
            f"etcd Version: {ETCD_VERSION}",
            f"Git SHA: kvstore-{_own_version()}",
            f"Go Version: none ({platform.python_implementation()} {platform.python_version()})",
            f"Go OS/Arch: {platform.system().lower()}/{machine}",
        )
    )


def _serve(config: ServerConfig) -> int:
    import uvloop

    from kvstore.server.server import run

    logger.info("starting a member", extra={"config": config.shown()})
    for note in config.notes:
        logger.warning("setting without effect", extra={"note": note})
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(config))
    except ConfigurationRefused as refusal:
        return _refused(refusal)
    except MemberRemoved:
        logger.warning(
            "the member has been permanently removed from the cluster; "
            "its data directory is of no use any more",
            extra={"data-dir": str(config.data_dir)},
        )
        return 0
    except (MemberFailed, OSError):
        logger.critical("the member cannot run", exc_info=True)
        return EXIT_FAILED
    return 0


def _refused(refusal: ConfigurationRefused) -> int:
    for problem in refusal.problems:
        logger.critical("failed to verify flags", extra={"error": problem})
    return EXIT_FAILED


def _own_version() -> str:
    try:
        return version("kvstore-raft")
    except PackageNotFoundError:
        return "unreleased"  # run from a source tree that is not installed


if __name__ == "__main__":
    main()
