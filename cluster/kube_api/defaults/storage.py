"""Defaults of volumes, claims, classes and drivers."""

from cluster.kube_api.defaults.pods import struct_or_none
from cluster.kube_api.defaults.setting import default, struct
from cluster.kube_api.objects import JsonObject


def _claim(obj: JsonObject) -> None:
    default(struct(obj, "spec"), volumeMode="Filesystem")
    default(struct(obj, "status"), phase="Pending")


def _volume(obj: JsonObject) -> None:
    spec = struct(obj, "spec")
    default(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    path = struct_or_none(spec, "hostPath")
    if path is not None:
        default(path, type="")
    default(struct(obj, "status"), phase="Pending")


def _storage_class(obj: JsonObject) -> None:
    default(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _driver(obj: JsonObject) -> None:
    spec = struct(obj, "spec")
    default(
        spec,
        attachRequired=True,
        podInfoOnMount=False,
        storageCapacity=False,
        fsGroupPolicy="ReadWriteOnceWithFSType",
        requiresRepublish=False,
        seLinuxMount=False,
    )
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


SETTERS = {
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("storage.k8s.io", "CSIDriver"): _driver,
}
