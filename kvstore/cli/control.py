"""`kvstorectl`: etcdctl's commands, flags, output and exit codes, for our servers and etcd's."""

import sys


def main() -> None:
    """Run the command line and exit with etcdctl's code."""
    from kvstore.cli.ctl.commands import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
