"""Breaking a cluster by hand, or by a script: one command a line, in the words of the faults."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvstore.base.errors import KvstoreError
from kvstore.testing.cluster import Cluster
from kvstore.testing.member import Member

HELP = """\
status                         who runs, leads, and is broken how
kill [MEMBER ...]              SIGKILL; of all, if none is named
start [MEMBER ...]             start what does not run
pause MEMBER ...               SIGSTOP
resume MEMBER ...              SIGCONT
partition A [B] [| C D]        no group hears of another; who is in none forms the last one
cut FROM TO                    what FROM sends does not reach TO
slow-disk MEMBER SECONDS       each sync takes longer
full-disk MEMBER               no space is left
skew MEMBER SECONDS            its wall clock jumps; 0: it is right again
heal                           undo everything, and wait until all are healthy
wait SECONDS                   for scripts
quit                           stop the cluster
MEMBER is m1, m2, ... or `leader`. What follows a # is ignored.
"""

Say = Callable[[str], None]


class CommandRefused(KvstoreError):
    """The line is no command, or cannot be done now; the text says why."""


@dataclass(frozen=True, slots=True)
class Console:
    """The commands, on one cluster."""

    cluster: Cluster
    say: Say

    def obey(self, line: str) -> bool:
        """Do what `line` says; return whether to go on.

        Raises:
            CommandRefused: nothing was done.
        """
        words = line.partition("#")[0].split()
        if not words:
            return True
        name, arguments = words[0], words[1:]
        if name in {"quit", "exit"}:
            return False
        command = _COMMANDS.get(name)
        if command is None:
            raise CommandRefused(f"no command {name!r}; `help` lists them")
        try:
            command(self, arguments)
        except CommandRefused:
            raise
        except (KvstoreError, TimeoutError) as error:
            raise CommandRefused(str(error)) from error
        return True

    # --- commands

    def help(self, _arguments: Sequence[str]) -> None:
        """List the commands."""
        self.say(HELP.rstrip())

    def status(self, _arguments: Sequence[str]) -> None:
        """Say how each member is."""
        leader = self.cluster.leader_now()
        for member in self.cluster.members:
            state = (
                "stopped"
                if not member.is_running
                else "running"
                if member.is_paused
                else "healthy"
                if member.is_healthy()
                else "not answering"
            )
            role = ", leads" if member is leader else ""
            broken = "".join(f", {fault}" for fault in member.faults)
            self.say(f"{member.name}  http://{member.endpoint}  {state}{role}{broken}")
        for source, target in sorted(self.cluster.cuts):
            self.say(f"cut: {source} to {target}")

    def kill(self, arguments: Sequence[str]) -> None:
        """End members as crashes would."""
        self.cluster.kill(*self._members(arguments))

    def start(self, arguments: Sequence[str]) -> None:
        """Start what does not run."""
        for member in self._members(arguments) or self.cluster.members:
            if not member.is_running:
                member.start()
                member.wait_until_ready()

    def pause(self, arguments: Sequence[str]) -> None:
        """Stop members where they are."""
        for member in self._some_members(arguments):
            if not member.is_running:
                raise CommandRefused(f"{member.name} does not run")
            member.pause()

    def resume(self, arguments: Sequence[str]) -> None:
        """Let them go on."""
        for member in self._some_members(arguments):
            member.resume()

    def partition(self, arguments: Sequence[str]) -> None:
        """Let no group hear of another."""
        groups = [self._members(group.split()) for group in " ".join(arguments).split("|")]
        named = [member.name for group in groups for member in group]
        if not all(groups) or len(set(named)) < len(named):
            raise CommandRefused("partition A [B] [| C D]: each member in one group at most")
        self.cluster.partition(*groups)

    def cut(self, arguments: Sequence[str]) -> None:
        """Hold back what one sends to another."""
        source, target = self._exactly(arguments, "cut FROM TO")
        one, other = self._member(source), self._member(target)
        if one is other:
            raise CommandRefused("nobody is cut off from itself")
        self.cluster.cut(one, other)

    def slow_disk(self, arguments: Sequence[str]) -> None:
        """Make a member's syncs slow."""
        name, seconds = self._exactly(arguments, "slow-disk MEMBER SECONDS")
        member = self._member(name)
        if not member.is_running:
            raise CommandRefused(f"{member.name} does not run")
        member.slow_disk(_seconds(seconds))

    def full_disk(self, arguments: Sequence[str]) -> None:
        """Leave members no space."""
        for member in self._some_members(arguments):
            member.fill_disk()

    def skew(self, arguments: Sequence[str]) -> None:
        """Make a member's clock jump."""
        name, seconds = self._exactly(arguments, "skew MEMBER SECONDS")
        self._member(name).skew(_seconds(seconds, is_signed=True))

    def heal(self, _arguments: Sequence[str]) -> None:
        """Undo everything."""
        self.cluster.heal()

    def wait(self, arguments: Sequence[str]) -> None:
        """Do nothing for a while."""
        if len(arguments) != 1:
            raise CommandRefused("wait SECONDS")
        time.sleep(_seconds(arguments[0]))

    # --- arguments

    def _member(self, name: str) -> Member:
        if name == "leader":
            return self.cluster.leader()
        for member in self.cluster.members:
            if member.name == name:
                return member
        names = ", ".join(member.name for member in self.cluster.members)
        raise CommandRefused(f"no member {name!r}; there are {names}, and `leader`")

    def _members(self, names: Sequence[str]) -> list[Member]:
        return [self._member(name) for name in names]

    def _some_members(self, names: Sequence[str]) -> list[Member]:
        if not names:
            raise CommandRefused("which member?")
        return self._members(names)

    def _exactly(self, arguments: Sequence[str], usage: str) -> tuple[str, str]:
        if len(arguments) != len(("one", "other")):
            raise CommandRefused(usage)
        return arguments[0], arguments[1]


def _seconds(text: str, *, is_signed: bool = False) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if abs(seconds) < float("inf") and (is_signed or seconds >= 0):
        return seconds
    raise CommandRefused(f"not a number of seconds: {text!r}")


_COMMANDS: dict[str, Callable[[Console, Sequence[str]], None]] = {
    "help": Console.help,
    "status": Console.status,
    "kill": Console.kill,
    "start": Console.start,
    "pause": Console.pause,
    "resume": Console.resume,
    "partition": Console.partition,
    "cut": Console.cut,
    "slow-disk": Console.slow_disk,
    "full-disk": Console.full_disk,
    "skew": Console.skew,
    "heal": Console.heal,
    "wait": Console.wait,
}
