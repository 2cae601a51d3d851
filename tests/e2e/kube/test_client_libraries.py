"""The Python clients of Kubernetes, as their users use them, against a cluster of the fixture."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TIMEOUT_S = 120


def run(script: str, kubeconfig: Path) -> str:
    """Run a program of its own, which knows nothing of us but the kubeconfig; return its output."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(kubeconfig.parent),
        "KUBECONFIG": str(kubeconfig),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_official_client_creates_lists_watches_patches_and_deletes(
    kubeconfig: Path, kube_namespace: str
) -> None:
    printed = run(
        f"""
        from kubernetes import client, config, watch

        config.load_kube_config()
        core, apps = client.CoreV1Api(), client.AppsV1Api()
        container = client.V1Container(name="web", image="nginx")
        template = client.V1PodTemplateSpec(
            metadata=client.V1ObjectMeta(labels={{"app": "web"}}),
            spec=client.V1PodSpec(containers=[container]),
        )
        deployment = client.V1Deployment(
            metadata=client.V1ObjectMeta(name="web"),
            spec=client.V1DeploymentSpec(
                selector=client.V1LabelSelector(match_labels={{"app": "web"}}), template=template
            ),
        )
        made = apps.create_namespaced_deployment("{kube_namespace}", deployment)
        apps.patch_namespaced_deployment("web", "{kube_namespace}", {{"spec": {{"replicas": 3}}}})
        pod = client.V1Pod(
            metadata=client.V1ObjectMeta(name="one", labels={{"app": "one"}}), spec=template.spec
        )
        core.create_namespaced_pod("{kube_namespace}", pod)
        listed = core.list_namespaced_pod("{kube_namespace}", label_selector="app=one")
        version = listed.metadata.resource_version
        change = {{"metadata": {{"labels": {{"x": "y"}}}}}}
        core.patch_namespaced_pod("one", "{kube_namespace}", change)
        core.delete_namespaced_pod("one", "{kube_namespace}")
        stream = watch.Watch().stream(
            core.list_namespaced_pod, "{kube_namespace}", resource_version=version
        )
        seen = [next(stream)["type"], next(stream)["type"]]
        scale = apps.read_namespaced_deployment_scale("web", "{kube_namespace}")
        try:
            core.read_namespaced_pod("one", "{kube_namespace}")
        except client.ApiException as error:
            print(error.status, error.reason)
        print(made.spec.replicas, scale.spec.replicas, seen, len(core.list_node().items))
        """,
        kubeconfig,
    )
    assert printed == "404 Not Found\n1 3 ['MODIFIED', 'DELETED'] 0\n"


def test_the_dynamic_client_finds_kinds_by_discovery(kubeconfig: Path, kube_namespace: str) -> None:
    printed = run(
        f"""
        from kubernetes import config, dynamic
        from kubernetes.client import api_client

        config.load_kube_config()
        client = dynamic.DynamicClient(api_client.ApiClient())
        maps = client.resources.get(api_version="v1", kind="ConfigMap")
        maps.create(
            body={{"metadata": {{"name": "a"}}, "data": {{"x": "1"}}}}, namespace="{kube_namespace}"
        )
        applied = maps.server_side_apply(
            body={{
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {{"name": "a"}},
                "data": {{"y": "2"}},
            }},
            namespace="{kube_namespace}",
            field_manager="tests",
        )
        print(dict(applied.data))
        """,
        kubeconfig,
    )
    assert printed == "{'x': '1', 'y': '2'}\n"


def test_lightkube_applies_and_waits(kubeconfig: Path) -> None:
    printed = run(
        """
        from lightkube import Client
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import ConfigMap, Node, Service

        client = Client(field_manager="tests")
        client.create(ConfigMap(metadata=ObjectMeta(name="a"), data={"x": "1"}))
        client.apply(
            ConfigMap(
                apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="b"), data={"y": "2"}
            )
        )
        client.patch(ConfigMap, "a", {"data": {"z": "3"}})
        found = {one.metadata.name: one.data for one in client.list(ConfigMap)}
        client.delete(ConfigMap, "b")
        print(found, [one.metadata.name for one in client.list(ConfigMap)])
        print([node.metadata.name for node in client.list(Node)])
        """,
        kubeconfig,
    )
    assert printed == "{'a': {'x': '1', 'z': '3'}, 'b': {'y': '2'}} ['a']\n[]\n"


def test_kr8s_creates_labels_and_deletes(kubeconfig: Path) -> None:
    printed = run(
        """
        import kr8s
        from kr8s.objects import ConfigMap, Pod

        pod = Pod({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "one"},
            "spec": {"containers": [{"name": "pause", "image": "pause"}]},
        })
        pod.create()
        pod.label({"tier": "test"})
        pod.refresh()
        print(pod.status.phase, pod.labels)
        print([one.name for one in kr8s.get("pods", label_selector="tier=test")])
        pod.delete()
        print(pod.exists(), kr8s.api().version()["minor"])
        """,
        kubeconfig,
    )
    assert printed == "Pending {'tier': 'test'}\n['one']\nFalse 33\n"


OPERATOR = """
import kopf

@kopf.on.create("example.com", "v1", "gadgets")
def created(spec, name, namespace, **_):
    return {"wanted": spec["size"]}

@kopf.on.update("example.com", "v1", "gadgets", field="spec.size")
def resized(new, patch, **_):
    patch.status["resized"] = new

@kopf.on.delete("example.com", "v1", "gadgets")
def deleted(name, logger, **_):
    print("deleted", name, flush=True)
"""
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gadgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "gadgets", "kind": "Gadget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"size": {"type": "integer", "default": 1}},
                            },
                            "status": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                        },
                    }
                },
            }
        ],
    },
}

DEFINITION_JSON = json.dumps(DEFINITION)


def test_an_operator_of_kopf_handles_an_object_from_its_creation_to_its_end(
    kubeconfig: Path, kube_namespace: str, tmp_path: Path
) -> None:
    file = tmp_path / "operator.py"
    file.write_text(OPERATOR)
    printed = run(
        f"""
        import json
        import os
        import subprocess
        import sys
        import time
        from kubernetes import client, config

        config.load_kube_config()
        definition = json.loads({DEFINITION_JSON!r})
        client.ApiextensionsV1Api().create_custom_resource_definition(definition)
        api, place = client.CustomObjectsApi(), ("example.com", "v1", "{kube_namespace}", "gadgets")

        def wait_for(found):
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                try:
                    result = found()
                except client.ApiException as error:
                    result = error.status
                if result:
                    return result
                time.sleep(0.1)
            raise SystemExit("waited in vain")

        wait_for(lambda: api.list_namespaced_custom_object(*place)["kind"] == "GadgetList")
        operator = subprocess.Popen(
            [sys.executable, "-m", "kopf", "run", "--standalone", "-n", "{kube_namespace}",
             "{file}"],
            stdout=subprocess.PIPE, text=True,
        )
        try:
            api.create_namespaced_custom_object(
                *place,
                {{
                    "apiVersion": "example.com/v1",
                    "kind": "Gadget",
                    "metadata": {{"name": "g"}},
                    "spec": {{}},
                }},
            )
            get = lambda: api.get_namespaced_custom_object(*place, "g")
            print(wait_for(lambda: get().get("status", {{}}).get("created")))
            print(get()["metadata"]["finalizers"])
            api.patch_namespaced_custom_object(*place, "g", {{"spec": {{"size": 5}}}})
            print(wait_for(lambda: get().get("status", {{}}).get("resized")))
            api.delete_namespaced_custom_object(*place, "g")
            print(wait_for(lambda: get() and None))
        finally:
            operator.terminate()
            print(operator.communicate(timeout=30)[0])
        """,
        kubeconfig,
    )
    assert printed.splitlines()[:5] == [
        "{'wanted': 1}",
        "['kopf.zalando.org/KopfFinalizerMarker']",
        "5",
        "404",
        "deleted g",
    ]
