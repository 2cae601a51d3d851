"""Feature gates by their flag and by the older flags of the same features."""

import pytest

from kvstore.server import flags
from kvstore.server.config import ConfigurationRefused, load
from kvstore.server.feature_gates import DEFAULTS, FEATURES


def problems(*arguments: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationRefused) as refused:
        load(arguments, {})
    return refused.value.problems


@pytest.mark.parametrize(
    "arguments",
    [
        ["--feature-gates=InitialCorruptCheck=true,CompactHashCheck=true"],
        ["--experimental-initial-corrupt-check", "--experimental-compact-hash-check-enabled"],
    ],
)
def test_both_spellings_switch_a_feature_on(arguments: list[str]) -> None:
    config = load(arguments, {})
    assert config.corruption.at_start
    assert config.corruption.compares_compactions


def test_without_flags_features_are_as_etcd_has_them() -> None:
    assert load([], {}).features == DEFAULTS
    assert [name for name, is_on in DEFAULTS.items() if is_on] == ["TxnModeWriteWithSharedBuffer"]


def test_a_group_switches_all_its_features_but_those_that_are_named() -> None:
    features = load(["--feature-gates=AllAlpha=true,InitialCorruptCheck=false"], {}).features
    assert features["CompactHashCheck"]
    assert not features["InitialCorruptCheck"]


def test_a_feature_is_switched_by_one_flag_only() -> None:
    flag = "--experimental-initial-corrupt-check"
    (problem,) = problems(flag, "--feature-gates=InitialCorruptCheck=true")
    assert problem.startswith(f"cannot specify both flags: {flag}=(true|false)")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Nonsense=true", "unrecognized feature gate: Nonsense"),
        ("InitialCorruptCheck", "missing bool value for InitialCorruptCheck"),
        ("LeaseCheckpoint=true", "feature LeaseCheckpoint is not supported"),
    ],
)
def test_what_is_no_feature_is_refused_by_name(text: str, problem: str) -> None:
    assert problem in problems(f"--feature-gates={text}")[0]


def test_a_feature_without_effect_is_noted() -> None:
    (note,) = load(["--feature-gates=SetMemberLocalAddr=true"], {}).notes
    assert note == "feature SetMemberLocalAddr=true has no effect on this server"


def test_every_older_flag_is_a_flag() -> None:
    older = {feature.older_flag for feature in FEATURES.values() if feature.older_flag}
    assert older <= set(flags.FLAGS)
