"""Limits, quotas and webhooks, by requests."""

import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.kube_process import Answer, KubeClient


def create_and_see(kube: KubeClient, path: str, body: dict[str, Any]) -> None:
    """Create what admission reads from the server's cache; a list waits until it is there."""
    kube.create(path, body)
    kube.get(path)


def refusal(answer: Answer) -> str:
    assert answer.code == 403, answer.body
    return str(answer.json["message"])


def pod(name: str, **container: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "i", **container}]}
    return {"metadata": {"name": name}, "spec": spec}


def test_limits_are_given_and_kept(kube: KubeClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    limit = {"type": "Container", "max": {"cpu": "1"}}
    limits = {"metadata": {"name": "l"}, "spec": {"limits": [limit]}}
    create_and_see(kube, f"{path}/limitranges", limits)
    made = kube.create(f"{path}/pods", pod("a"))
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1"},
        "requests": {"cpu": "1"},
    }
    answer = kube.request("POST", f"{path}/pods", pod("b", resources={"limits": {"cpu": "2"}}))
    assert refusal(answer) == (
        'pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
    )


def test_a_quota_counts_and_refuses(kube: KubeClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "2"}}}
    create_and_see(kube, f"{path}/resourcequotas", quota)
    for name in ("a", "b"):
        kube.create(f"{path}/configmaps", {"metadata": {"name": name}})
    answer = kube.request("POST", f"{path}/configmaps", {"metadata": {"name": "c"}})
    assert refusal(answer) == (
        'configmaps "c" is forbidden: exceeded quota: q, requested: configmaps=1, used:'
        " configmaps=2, limited: configmaps=2"
    )
    assert kube.get(f"{path}/resourcequotas/q")["status"]["used"] == {"configmaps": "2"}


@contextlib.contextmanager
def webhook(directory: Path) -> Iterator[tuple[str, str]]:
    """Run a webhook that labels what it may patch and refuses what is called `bad`."""
    certificate, key = certificate_of(directory)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            asked = json.loads(self.rfile.read(size))["request"]
            response: dict[str, Any] = {"uid": asked["uid"], "allowed": True}
            if self.path == "/patch":
                patch = [{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]
                encoded = base64.b64encode(json.dumps(patch).encode()).decode()
                response |= {"patchType": "JSONPatch", "patch": encoded, "warnings": ["looked"]}
            elif asked["name"] == "bad":
                response |= {"allowed": False, "status": {"message": "bad is bad"}}
            body = json.dumps({"kind": "AdmissionReview", "response": response}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        bundle = base64.b64encode(certificate.read_bytes()).decode()
        yield f"https://127.0.0.1:{server.server_port}", bundle
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certificate_of(directory: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webhook")])
    start = datetime.now(UTC) - timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    files = directory / "webhook.crt", directory / "webhook.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def configuration(namespace: str, url: str, bundle: str, **fields: Any) -> dict[str, Any]:
    rule = {
        "operations": ["CREATE"],
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["configmaps"],
    }
    return {
        "metadata": {"name": f"{namespace}-hooks"},
        "webhooks": [
            {
                "name": "hook.example.com",
                "clientConfig": {"url": url, "caBundle": bundle},
                "rules": [rule],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                **fields,
            }
        ],
    }


HOOKS = "/apis/admissionregistration.k8s.io/v1"


def test_webhooks_patch_warn_refuse_and_may_fail(
    kube: KubeClient, namespace: str, tmp_path: Path
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with webhook(tmp_path) as (url, bundle):
        mutating = configuration(namespace, f"{url}/patch", bundle)
        create_and_see(kube, f"{HOOKS}/mutatingwebhookconfigurations", mutating)
        validating = configuration(namespace, f"{url}/check", bundle)
        create_and_see(kube, f"{HOOKS}/validatingwebhookconfigurations", validating)
        answer = kube.request("POST", path, {"metadata": {"name": "good"}})
        assert answer.json["metadata"]["labels"] == {"seen": "yes"}
        assert answer.warnings == ['299 - "looked"']
        answer = kube.request("POST", path, {"metadata": {"name": "bad"}})
        assert refusal(answer) == (
            'admission webhook "hook.example.com" denied the request: bad is bad'
        )
    answer = kube.request("POST", path, {"metadata": {"name": "late"}})
    assert answer.code == 500
    assert 'failed calling webhook "hook.example.com"' in answer.json["message"]
    for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
        ignoring = {
            "webhooks": configuration(namespace, url, bundle, failurePolicy="Ignore")["webhooks"]
        }
        kube.patch(f"{HOOKS}/{kind}/{namespace}-hooks", ignoring)
        kube.get(f"{HOOKS}/{kind}")
    assert kube.create(path, {"metadata": {"name": "late"}})["metadata"]["name"] == "late"
