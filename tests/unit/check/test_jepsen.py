import pytest

from kvstore.check import MalformedHistory, Outcome, Verdict, check
from kvstore.check.edn import Keyword, read_edn
from kvstore.check.jepsen import read_jepsen

REGISTER = """
; knossos' bad register, in the form of Jepsen's store/
{:type :invoke, :f :write, :value 1, :process 0, :time 1000, :index 0}
{:type :ok, :f :write, :value 1, :process 0, :time 2000, :index 1}
{:process :nemesis, :type :info, :f :start-partition, :value nil, :time 2500}
{:type :invoke, :f :cas, :value [1 2], :process 1, :time 3000}
{:type :info, :f :cas, :value [1 2], :process 1, :time 4000, :error :timeout}
{:process :nemesis, :type :info, :f :stop-partition, :value nil, :time 4500}
{:type :invoke, :f :read, :value nil, :process 0, :time 5000}
{:type :ok, :f :read, :value 2, :process 0, :time 6000}
{:type :invoke, :f :read, :value nil, :process 0, :time 7000}
{:type :ok, :f :read, :value 1, :process 0, :time 8000}
"""

TRANSACTIONS = """[
#jepsen.history.Op{:type :invoke :f :txn :value [[:append 5 1] [:r 6 nil]] :process 0 :index 0}
#jepsen.history.Op{:type :invoke :f :txn :value [[:append 6 1] [:r 5 nil]] :process 1 :index 1}
#jepsen.history.Op{:type :ok :f :txn :value [[:append 5 1] [:r 6 [1]]] :process 0 :index 2}
#jepsen.history.Op{:type :ok :f :txn :value [[:append 6 1] [:r 5 [1]]] :process 1 :index 3}
]"""

INDEPENDENT = """
{:type :invoke :f :write :value [a 1] :process 0}
{:type :ok :f :write :value [a 1] :process 0}
{:type :invoke :f :read :value [b nil] :process 1}
{:type :ok :f :read :value [b nil] :process 1}
{:type :invoke :f :read :value [a nil] :process 1}
{:type :fail :f :read :value [a nil] :process 1}
"""


def test_a_register_history_of_jepsen_is_judged() -> None:
    history = read_jepsen(REGISTER)
    assert [o.outcome for o in history.operations] == [
        Outcome.OK,
        Outcome.UNKNOWN,
        Outcome.OK,
        Outcome.OK,
    ]
    assert history.operations[1].error == "timeout"
    assert history.bands[0].name == "partition"
    assert check(history).verdict is Verdict.VIOLATED


def test_a_transaction_history_of_jepsen_is_judged() -> None:
    report = check(read_jepsen(TRANSACTIONS))
    assert report.violation is not None
    assert report.violation.guarantee.startswith("G1c")


def test_independent_keys_are_told_apart() -> None:
    history = read_jepsen(INDEPENDENT)
    assert [o.arguments["key"] for o in history.operations] == ["a", "b", "a"]
    assert check(history).verdict is Verdict.HOLDS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nil true -3 2.5 7N 1e3", (None, True, -3, 2.5, 7, 1000.0)),
        (r'"a\"b\n" :k/w sym \a', ('a"b\n', Keyword("k/w"), Keyword("sym"), "a")),
        ("(1 [2 #{3}]) {:a 1, :b {}}", ((1, (2, (3,))), {Keyword("a"): 1, Keyword("b"): {}})),
        ('#_ (ignored) #inst "2020" ; the rest\n 1', ("2020", 1)),
    ],
)
def test_values_of_edn(text: str, value: object) -> None:
    assert tuple(read_edn(text)) == value


@pytest.mark.parametrize(
    "text",
    ["(", "]", "[}", '"open', "{:a}", "{{} 1}", "#_", "[" * 100, "9" * 5000, "#", "\\"],
)
def test_what_is_no_edn_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(MalformedHistory, match="line 2"):
        tuple(read_edn("\n" + text))


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "{:type :invoke :process 0}",
        "{:type :ok :f :read :process 0}",
        "{:type :invoke :f :read :process 0} {:type :invoke :f :read :process 0}",
    ],
)
def test_what_is_no_history_is_refused(text: str) -> None:
    with pytest.raises(MalformedHistory):
        read_jepsen(text)
