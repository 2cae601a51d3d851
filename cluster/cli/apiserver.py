"""`kvstore kube apiserver`: one API server, in the foreground."""

import asyncio
import logging
import signal
from pathlib import Path

import click

from cluster.apiserver.config import Config, TlsFiles
from cluster.apiserver.server import ApiServer

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(epilog="Example: `kvstore kube apiserver --endpoints 127.0.0.1:2379 --insecure`")
@click.option(
    "--endpoints", default="127.0.0.1:2379", show_default=True, help="The store's members."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=6443, show_default=True, help="0: a free one.")
@click.option("--etcd-prefix", default="/registry", show_default=True, help="What keys begin with.")
@click.option("--etcd-cafile", type=_file, help="Who vouches for the store's members.")
@click.option("--etcd-certfile", type=_file, help="Who we are to the store.")
@click.option("--etcd-keyfile", type=_file, help="The key of that certificate.")
@click.option("--tls-cert-file", type=_file, help="The server's certificate.")
@click.option("--tls-private-key-file", type=_file, help="The key of that certificate.")
@click.option("--client-ca-file", type=_file, help="Whose certificates make users.")
@click.option("--service-account-key-file", type=_file, help="The key that signs tokens.")
@click.option("--kubelet-certificate-authority", type=_file, help="Who vouches for kubelets.")
@click.option("--kubelet-client-certificate", type=_file, help="Who we are to kubelets.")
@click.option("--kubelet-client-key", type=_file, help="The key of that certificate.")
@click.option("--service-cluster-ip-range", default="10.96.0.0/12", show_default=True)
@click.option("--insecure", is_flag=True, help="No TLS; everybody may do everything.")
def apiserver(  # noqa: PLR0913  a flag each
    *,
    endpoints: str,
    host: str,
    port: int,
    etcd_prefix: str,
    etcd_cafile: Path | None,
    etcd_certfile: Path | None,
    etcd_keyfile: Path | None,
    tls_cert_file: Path | None,
    tls_private_key_file: Path | None,
    client_ca_file: Path | None,
    service_account_key_file: Path | None,
    kubelet_certificate_authority: Path | None,
    kubelet_client_certificate: Path | None,
    kubelet_client_key: Path | None,
    service_cluster_ip_range: str,
    insecure: bool,
) -> None:
    """Serve the Kubernetes API from the store, until SIGINT or SIGTERM.

    Prints `ready: URL` when it serves.
    """
    if (tls_cert_file is None) != (tls_private_key_file is None):
        raise click.UsageError("--tls-cert-file and --tls-private-key-file go together")
    tls = None
    if tls_cert_file is not None and tls_private_key_file is not None:
        tls = TlsFiles(
            certificate=tls_cert_file, key=tls_private_key_file, client_ca=client_ca_file
        )
    kubelet = None
    if kubelet_client_certificate is not None and kubelet_client_key is not None:
        kubelet = TlsFiles(
            certificate=kubelet_client_certificate,
            key=kubelet_client_key,
            client_ca=kubelet_certificate_authority,
        )
    config = Config(
        host=host,
        port=port,
        endpoints=endpoints,
        root=f"{etcd_prefix.rstrip('/')}/",
        tls=tls,
        store_ca=etcd_cafile,
        store_certificate=etcd_certfile,
        store_key=etcd_keyfile,
        service_account_key=service_account_key_file,
        kubelet=kubelet,
        service_range=service_cluster_ip_range,
        is_open=insecure,
    )
    if problems := config.problems():
        raise click.UsageError("\n".join(problems))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_serve(config))


async def _serve(config: Config) -> None:
    server = ApiServer(config)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with server.running():
        scheme = "http" if config.tls is None else "https"
        print(f"ready: {scheme}://{config.host}:{server.port}", flush=True)
        await stopping.wait()
