"""Rows of volumes, claims, classes and drivers."""

from datetime import datetime

from cluster.kube_api.objects import JsonObject, list_at, member, object_at, string_at
from cluster.kube_api.tables.cells import UNSET, Cells, Printer, age, columns, name_of

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(modes: list[str]) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in modes)


def _phase(obj: JsonObject) -> str:
    is_going = member(obj, "metadata", "deletionTimestamp") is not None
    return "Terminating" if is_going else string_at(obj, "status", "phase")


def _claim(obj: JsonObject, now: datetime) -> Cells:
    is_bound = bool(string_at(obj, "spec", "volumeName"))
    return [
        name_of(obj),
        _phase(obj),
        string_at(obj, "spec", "volumeName"),
        string_at(obj, "status", "capacity", "storage") if is_bound else "",
        _modes(list_at(obj, "status", "accessModes")) if is_bound else "",
        string_at(obj, "spec", "storageClassName"),
        string_at(obj, "spec", "volumeAttributesClassName") or UNSET,
        age(obj, now),
        string_at(obj, "spec", "volumeMode") or UNSET,
    ]


def _volume(obj: JsonObject, now: datetime) -> Cells:
    claim = object_at(obj, "spec", "claimRef")
    return [
        name_of(obj),
        string_at(obj, "spec", "capacity", "storage"),
        _modes(list_at(obj, "spec", "accessModes")),
        string_at(obj, "spec", "persistentVolumeReclaimPolicy"),
        _phase(obj),
        f"{string_at(claim, 'namespace')}/{string_at(claim, 'name')}" if claim else "",
        string_at(obj, "spec", "storageClassName"),
        string_at(obj, "spec", "volumeAttributesClassName") or UNSET,
        string_at(obj, "status", "reason"),
        age(obj, now),
        string_at(obj, "spec", "volumeMode") or UNSET,
    ]


_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def _storage_class(obj: JsonObject, now: datetime) -> Cells:
    is_default = object_at(obj, "metadata", "annotations").get(_DEFAULT_CLASS) == "true"
    return [
        f"{name_of(obj)} (default)" if is_default else name_of(obj),
        string_at(obj, "provisioner"),
        string_at(obj, "reclaimPolicy") or "Delete",
        string_at(obj, "volumeBindingMode") or "Immediate",
        member(obj, "allowVolumeExpansion") is True,
        age(obj, now),
    ]


def _csi_node(obj: JsonObject, now: datetime) -> Cells:
    return [name_of(obj), len(list_at(obj, "spec", "drivers")), age(obj, now)]


def _csi_driver(obj: JsonObject, now: datetime) -> Cells:
    spec = object_at(obj, "spec")
    audiences = [string_at(one, "audience") for one in list_at(spec, "tokenRequests")]
    return [
        name_of(obj),
        spec.get("attachRequired", True) is True,
        spec.get("podInfoOnMount", False) is True,
        spec.get("storageCapacity", False) is True,
        ",".join(audiences) or UNSET,
        spec.get("requiresRepublish", False) is True,
        ",".join(map(str, list_at(spec, "volumeLifecycleModes"))),
        age(obj, now),
    ]


def _csi_capacity(obj: JsonObject, _: datetime) -> Cells:
    return [name_of(obj), string_at(obj, "storageClassName"), string_at(obj, "capacity")]


def _attachment(obj: JsonObject, now: datetime) -> Cells:
    return [
        name_of(obj),
        string_at(obj, "spec", "attacher"),
        string_at(obj, "spec", "source", "persistentVolumeName"),
        string_at(obj, "spec", "nodeName"),
        member(obj, "status", "attached") is True,
        age(obj, now),
    ]


_STORAGE = "storage.k8s.io"
_CLASSES = "StorageClass, VolumeAttributesClass"
PRINTERS = {
    ("", "PersistentVolumeClaim"): Printer(
        columns(f"Name, Status, Volume, Capacity, Access Modes, {_CLASSES}, Age, VolumeMode w"),
        _claim,
    ),
    ("", "PersistentVolume"): Printer(
        columns(
            f"Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, {_CLASSES}, Reason,"
            " Age, VolumeMode w"
        ),
        _volume,
    ),
    (_STORAGE, "StorageClass"): Printer(
        columns(
            "Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion bool, Age"
        ),
        _storage_class,
    ),
    (_STORAGE, "CSINode"): Printer(columns("Name, Drivers int, Age"), _csi_node),
    (_STORAGE, "CSIDriver"): Printer(
        columns(
            "Name, AttachRequired bool, PodInfoOnMount bool, StorageCapacity bool, TokenRequests,"
            " RequiresRepublish bool, Modes, Age"
        ),
        _csi_driver,
    ),
    (_STORAGE, "CSIStorageCapacity"): Printer(
        columns("Name, StorageClassName, Capacity"), _csi_capacity
    ),
    (_STORAGE, "VolumeAttachment"): Printer(
        columns("Name, Attacher, PV, Node, Attached bool, Age"), _attachment
    ),
}
