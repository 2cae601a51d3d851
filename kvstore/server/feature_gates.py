"""etcd's feature gates: `--feature-gates=A=true,B=false`, and the older flags of the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from kvstore.server import flags


class Stage(Enum):
    """How far a feature is, in the words of etcd's metrics."""

    ALPHA = "ALPHA"
    BETA = "BETA"


@dataclass(frozen=True, slots=True)
class Feature:
    stage: Stage
    older_flag: str = ""
    effect: str = ""
    """What it does here; empty: nothing."""
    refusal: str = ""
    """Why it cannot be switched on."""

    @property
    def is_on_by_default(self) -> bool:
        return self.stage is Stage.BETA


_LEASES = "a new leader starts every lease at its full time"
FEATURES: Mapping[str, Feature] = {
    "CompactHashCheck": Feature(
        Stage.ALPHA, "experimental-compact-hash-check-enabled", "compare members after compactions"
    ),
    "InitialCorruptCheck": Feature(
        Stage.ALPHA, "experimental-initial-corrupt-check", "compare with the others at the start"
    ),
    "LeaseCheckpoint": Feature(
        Stage.ALPHA, "experimental-enable-lease-checkpoint", refusal=_LEASES
    ),
    "LeaseCheckpointPersist": Feature(
        Stage.ALPHA, "experimental-enable-lease-checkpoint-persist", refusal=_LEASES
    ),
    "SetMemberLocalAddr": Feature(Stage.ALPHA),
    "StopGRPCServiceOnDefrag": Feature(Stage.ALPHA, "experimental-stop-grpc-service-on-defrag"),
    "TxnModeWriteWithSharedBuffer": Feature(
        Stage.BETA, "experimental-txn-mode-write-with-shared-buffer"
    ),
}
_GROUPS = {"AllAlpha": Stage.ALPHA, "AllBeta": Stage.BETA}
DEFAULTS: Mapping[str, bool] = {name: one.is_on_by_default for name, one in FEATURES.items()}


def features_of(values: flags.FlagValues) -> tuple[Mapping[str, bool], list[str], list[str]]:
    """Return which features are on, what is wrong with that, and what has no effect."""
    given, problems = _given(values.text("feature-gates"))
    wanted = dict(DEFAULTS)
    for name, is_on in given.items():
        if name in _GROUPS:
            wanted |= {one: is_on for one, it in FEATURES.items() if it.stage is _GROUPS[name]}
    wanted |= {name: is_on for name, is_on in given.items() if name in FEATURES}
    for name, feature in FEATURES.items():
        if feature.older_flag and values.is_given(feature.older_flag):
            if name in given:
                problems.append(
                    f"cannot specify both flags: --{feature.older_flag}=(true|false) and "
                    f"--feature-gates={name}=(true|false) at the same time, "
                    "please just use --feature-gates"
                )
            wanted[name] = values.boolean(feature.older_flag)
    asked = [name for name, is_on in wanted.items() if is_on != DEFAULTS[name]]
    problems += [
        f"feature {name} is not supported: {FEATURES[name].refusal}"
        for name in asked
        if FEATURES[name].refusal and not given.get("AllAlpha")
    ]
    notes = [
        f"feature {name}={str(wanted[name]).lower()} has no effect on this server"
        for name in asked
        if not FEATURES[name].effect
    ]
    return wanted, problems, notes


def _given(text: str) -> tuple[dict[str, bool], list[str]]:
    found: dict[str, bool] = {}
    problems = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, separator, value = part.partition("=")
        try:
            is_on = flags.boolean(value.strip())
        except ValueError:
            problems.append(
                f"missing bool value for {name}"
                if not separator
                else f"invalid value of {name}={value}: it is neither true nor false"
            )
            continue
        if name not in FEATURES and name not in _GROUPS:
            problems.append(f"unrecognized feature gate: {name}")
        found[name] = is_on
    return found, problems
