"""`kvstorectl`: etcdctl's commands, flags, output and exit codes, for our servers and etcd's."""

import signal
import sys


def main() -> None:
    """Run the command line and exit with etcdctl's code."""
    from kvstore.cli.ctl.commands import run

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # An exception in the middle of grpc's own ending can leave it waiting for ever: an
        # interrupt ends the process at once, as it ends etcdctl.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
