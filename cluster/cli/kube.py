"""The command group `kvstore kube`; each command is imported when it is called."""

from importlib import import_module

import click

COMMANDS = {
    "apiserver": ("cluster.cli.apiserver:apiserver", "Serve the Kubernetes API from the store."),
    "controller-manager": (
        "cluster.cli.controller_manager:controller_manager",
        "Bring what is to what should be.",
    ),
    "diff": ("cluster.cli.looking_back:diff", "Show what a write of an object changed."),
    "dns": ("cluster.cli.dns:dns", "Answer for the names of services."),
    "history": ("cluster.cli.looking_back:history", "List the revisions of an object."),
    "kubeconfig": ("cluster.cli.kubeconfigs:kubeconfig", "Print or merge a cluster's kubeconfig."),
    "kubelet": ("cluster.cli.kubelet:kubelet", "Run pods as processes of this machine."),
    "nodes": ("cluster.cli.nodes:run_nodes", "Run the control plane and nodes on this machine."),
    "proxy": ("cluster.cli.proxy:proxy", "Make the addresses of services work on a node."),
    "scheduler": ("cluster.cli.scheduler:scheduler", "Give each pod a node."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, without importing them."""
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=_Commands)
def kube() -> None:
    """Use the cluster as Kubernetes does."""
