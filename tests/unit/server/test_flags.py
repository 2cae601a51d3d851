"""Command lines are read by the rules of Go's flag package, with its texts."""

import pytest

from kvstore.server import flags


@pytest.mark.parametrize(
    "arguments",
    [["--name", "a"], ["-name", "a"], ["--name=a"], ["-name=a"], ["--name=b", "--name=a"]],
)
def test_one_dash_or_two_with_or_without_equals_and_the_last_wins(arguments: list[str]) -> None:
    assert flags.read(arguments, {}).text("name") == "a"


def test_a_boolean_stands_alone_and_takes_no_next_word() -> None:
    values = flags.read(["--pre-vote=false", "--peer-insecure-bind", "--name", "x"], {})
    assert not values.boolean("pre-vote")
    assert values.boolean("peer-insecure-bind")
    assert values.text("name") == "x"


# Recorded from etcd 3.5.1.
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--nonsense"], "flag provided but not defined: -nonsense"),
        (["--name"], "flag needs an argument: -name"),
        (["junk"], "'junk' is not a valid flag"),
        (["--", "junk"], "'junk' is not a valid flag"),
        (
            ["--heartbeat-interval", "abc"],
            'invalid value "abc" for flag -heartbeat-interval: parse error',
        ),
        (
            ["--heartbeat-interval=-1"],
            'invalid value "-1" for flag -heartbeat-interval: parse error',
        ),
        (["--pre-vote=maybe"], 'invalid boolean value "maybe" for -pre-vote: parse error'),
        (
            ["--grpc-keepalive-min-time", "5x"],
            'invalid value "5x" for flag -grpc-keepalive-min-time: parse error',
        ),
        (
            ["--initial-cluster-state", "x"],
            'invalid value "x" for flag -initial-cluster-state: invalid value',
        ),
        (
            ["--listen-client-urls", "foo"],
            'invalid value "foo" for flag -listen-client-urls: '
            "URL scheme must be http, https, unix, or unixs: foo",
        ),
        (
            ["--listen-client-urls", "http://1.2.3.4"],
            'invalid value "http://1.2.3.4" for flag -listen-client-urls: '
            'URL address does not have the form "host:port": http://1.2.3.4',
        ),
        (
            ["--listen-client-urls", "http://1.2.3.4:1/x"],
            'invalid value "http://1.2.3.4:1/x" for flag -listen-client-urls: '
            "URL must not contain a path: http://1.2.3.4:1/x",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_the_words_of_etcd(
    arguments: list[str], text: str
) -> None:
    with pytest.raises(flags.FlagError) as refused:
        flags.read(arguments, {})
    assert str(refused.value) == text


def test_flags_win_over_variables_and_empty_variables_are_none() -> None:
    environment = {"ETCD_NAME": "variable", "ETCD_MAX_TXN_OPS": "7", "ETCD_DATA_DIR": ""}
    values = flags.read(["--name", "flag"], environment)
    assert values.text("name") == "flag"
    assert values.integer("max-txn-ops") == 7
    assert not values.is_given("data-dir")


def test_variables_that_no_flag_has_are_found() -> None:
    environment = {"ETCD_NAME": "x", "ETCD_NONSENSE": "1", "ETCDCTL_API": "3", "HOME": "/"}
    assert flags.unknown_variables(environment) == ["ETCD_NONSENSE"]


def test_the_older_names_of_flags_still_work() -> None:
    values = flags.read(["--experimental-compaction-batch-limit", "10"], {})
    assert values.integer("compaction-batch-limit") == 10


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("5s", 5),
        ("1h30m", 5400),
        ("100ms", 0.1),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("-2m", -120),
        ("+2m", 120),
        ("7us", 7e-6),
        ("7µs", 7e-6),
        ("7ns", 7e-9),
    ],
)
def test_durations_are_written_as_in_go(text: str, seconds: float) -> None:
    assert flags.duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "1d", "1h-2m", ".s", "5ss"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="parse error"):
        flags.duration_s(text)


def test_a_flag_is_not_set_by_both_its_names() -> None:
    names = "warning-apply-duration", "experimental-warning-apply-duration"
    with pytest.raises(flags.FlagError, match="Use only --warning-apply-duration"):
        flags.read([f"--{name}=1s" for name in names], {})


@pytest.mark.parametrize("flag", ["-h", "--help", "-help"])
def test_help_is_asked_for_by_any_of_its_names(flag: str) -> None:
    with pytest.raises(flags.HelpWanted):
        flags.read([flag], {})


def test_the_usage_names_every_flag() -> None:
    usage = flags.usage()
    assert [flag.name for flag in flags.FLAGS.values() if flag.name not in usage] == []


def test_every_default_is_a_value_of_its_flag() -> None:
    for flag in flags.FLAGS.values():
        flag.check(flag.default)
