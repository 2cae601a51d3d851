"""The JSON gateway and the HTTP endpoints: the same requests to the real etcd and to ours."""

import base64
import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from kvstore.rpc.gateway_routes import ROUTES
from tests.support.cluster_process import KVSTORED, ClusterProcess, Program, free_ports

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, without what no two clusters share."""

    status: int
    content_type: str
    body: str


class Http:
    """Requests to one member."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.headers: dict[str, str] = {}

    def send(self, method: str, path: str, body: str = "") -> Answer:
        connection = http.client.HTTPConnection(self.endpoint, timeout=20)
        try:
            connection.request(method, path, body or None, self.headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            return Answer(answer.status, answer.getheader("Content-Type", ""), masked(text))
        finally:
            connection.close()

    def lines(self, path: str, body: str, count: int) -> list[str]:
        """The first lines of a stream."""
        connection = http.client.HTTPConnection(self.endpoint, timeout=20)
        try:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            return [masked(answer.readline().decode()) for _ in range(count)]
        finally:
            connection.close()


_MASKS = (
    (re.compile(r'"(cluster_id|member_id|ID|leader)":"\d{12,}"'), r'"\1":"N"'),
    (re.compile(r'"(raft_term|raftTerm|raftIndex|raftAppliedIndex)":"\d+"'), r'"\1":"N"'),
    (re.compile(r"127\.0\.0\.1:\d+"), "ENDPOINT"),
    (re.compile(r'"hash":\d+'), '"hash":0'),
    (re.compile(r'"token":"[^"]+"'), '"token":"T"'),
    # etcd 3.5 says an error's text twice.
    (re.compile(r'"error":"[^"]*", ?"code"'), '"code"'),
    (re.compile(r'^\{"error":"(?:[^"\\]|\\.)*",'), "{"),
)


def masked(text: str) -> str:
    for pattern, shown in _MASKS:
        text = pattern.sub(shown, text)
    return text


K, V = b64("k"), b64("v/+\u00ff")
REQUESTS: tuple[tuple[str, str], ...] = (
    ("/v3/kv/put", f'{{"key":"{K}","value":"{V}"}}'),
    ("/v3/kv/put", f'{{"key":"{K}","value":"{V}","prev_kv":true}}'),
    ("/v3/kv/put", f'{{"key":"{K}","value":"{V}","prevKv":true,"unknown":[1]}}'),
    ("/v3/kv/put", ""),
    ("/v3/kv/put", '{"key":'),
    ("/v3/kv/put", f'{{"key":"{K}","lease":"77"}}'),
    ("/v3/kv/range", f'{{"key":"{K}"}}'),
    ("/v3/kv/range", f'{{"key":"{K}","range_end":"AA==","limit":"1"}}'),
    ("/v3/kv/range", f'{{"key":"{K}","sort_order":"DESCEND","sort_target":4}}'),
    ("/v3/kv/range", f'{{"key":"{K}","revision":99}}'),
    ("/v3/kv/range", f'{{"key":"{b64("none")}"}}'),
    (
        "/v3/kv/txn",
        f'{{"compare":[{{"key":"{K}","target":"VERSION","result":"GREATER","version":"1"}}],'
        f'"success":[{{"request_put":{{"key":"{K}","value":"{V}"}}}},'
        f'{{"requestRange":{{"key":"{K}"}}}}]}}',
    ),
    ("/v3/kv/txn", f'{{"compare":[{{"key":"{K}","target":"VALUE","value":"{V}"}}]}}'),
    ("/v3/kv/compaction", '{"revision":"3"}'),
    ("/v3/kv/compaction", '{"revision":"3"}'),
    ("/v3/lease/grant", '{"TTL":"600","ID":"77"}'),
    ("/v3/lease/grant", '{"TTL":600,"ID":77}'),
    ("/v3/kv/put", f'{{"key":"{b64("l")}","lease":"77"}}'),
    ("/v3/lease/timetolive", '{"ID":77,"keys":false}'),
    ("/v3/kv/lease/timetolive", '{"ID":"99"}'),
    ("/v3/lease/leases", "{}"),
    ("/v3/kv/lease/revoke", '{"ID":"77"}'),
    ("/v3/kv/deleterange", f'{{"key":"{K}","prev_kv":true}}'),
    ("/v3/cluster/member/list", "{}"),
    ("/v3/maintenance/alarm", '{"action":"GET"}'),
    ("/v3/auth/role/add", '{"name":"r"}'),
    ("/v3/auth/role/add", '{"name":"r"}'),
    (
        "/v3/auth/role/grant",
        f'{{"name":"r","perm":{{"permType":"READWRITE","key":"{K}","range_end":"{b64("l")}"}}}}',
    ),
    ("/v3/auth/role/get", '{"role":"r"}'),
    ("/v3/auth/user/add", '{"name":"u","password":"p"}'),
    ("/v3/auth/user/grant", '{"user":"u","role":"r"}'),
    ("/v3/auth/user/get", '{"name":"u"}'),
    ("/v3/auth/user/list", "{}"),
    ("/v3/auth/enable", "{}"),
    ("/v3/auth/authenticate", '{"name":"u","password":"p"}'),
    ("/v3/auth/status", "{}"),
    ("/v3/lock/lock", f'{{"name":"{b64("lock")}","lease":"99"}}'),
    ("/v3/election/leader", f'{{"name":"{b64("e")}"}}'),
    ("/v3/election/proclaim", "{}"),
    ("/v3beta/kv/range", f'{{"key":"{K}"}}'),
)
PLAIN: tuple[tuple[str, str], ...] = (
    ("GET", "/health"),
    ("GET", "/health?serializable=true"),
    ("GET", "/health?exclude=NOSPACE"),
    ("POST", "/health"),
    ("POST", "/version"),
    ("GET", "/nothing"),
    ("GET", "/v2/keys"),
)


def exchanged(endpoint: str) -> list[object]:
    """Everything asked and answered, in order."""
    talk = Http(endpoint)
    seen: list[object] = []
    for path, body in REQUESTS:
        answer = talk.send("POST", path, body)
        if answer.status == 400 and '"code":3' in answer.body and "etcdserver" not in answer.body:
            # What is wrong with some JSON is told in the words of Go's library.
            answer = Answer(answer.status, answer.content_type, "malformed")
        seen.append((path, body, answer))
    watched = talk.lines(
        "/v3/watch",
        f'{{"create_request":{{"key":"{K}","start_revision":"4"}}}}'
        f' {{"create_request":{{"key":"{K}","watch_id":"7"}}}}',
        3,
    )
    seen.append(sorted(watched))
    seen.append(talk.lines("/v3/watch", '{"create_request":{"key":"aw==","start_revision":1}}', 2))
    talk.send("POST", "/v3/lease/grant", '{"TTL":"600","ID":"88"}')
    seen.append(talk.send("POST", "/v3/lease/keepalive", '{"ID":"88"}').body)
    seen += [(method, path, talk.send(method, path)) for method, path in PLAIN]
    return seen


def test_json_and_http_are_answered_as_the_real_etcd_does(
    reference_etcd: Program, candidate: Program
) -> None:
    seen = []
    for program in (reference_etcd, candidate):
        with ClusterProcess(program, flags=["--bcrypt-cost=4"]) as cluster:
            seen.append(exchanged(cluster.endpoints[0]))
    for theirs, ours in zip(*seen, strict=True):
        assert ours == theirs


@pytest.fixture(scope="module")
def ours() -> Iterator[Http]:
    with ClusterProcess(KVSTORED, flags=["--bcrypt-cost=4"]) as cluster:
        yield Http(cluster.endpoints[0])


def test_every_path_of_the_gateway_is_answered_in_json(ours: Http) -> None:
    for path, route in ROUTES.items():
        if route.is_stream:
            continue
        # A lock and an election of the same name would wait for each other.
        body = f'{{"name":"{b64(path)}"}}' if path.startswith(("/v3/lock", "/v3/elec")) else "{}"
        answer = ours.send("POST", path, body)
        assert answer.content_type == "application/json", path
        assert "Not Found" not in json.loads(answer.body).values(), path


def test_a_token_counts_with_and_without_its_scheme(ours: Http) -> None:
    for path, body in (
        ("/v3/auth/role/add", '{"name":"root"}'),
        ("/v3/auth/user/add", '{"name":"root","password":"p"}'),
        ("/v3/auth/user/grant", '{"user":"root","role":"root"}'),
        ("/v3/auth/enable", "{}"),
    ):
        assert ours.send("POST", path, body).status == 200
    connection = http.client.HTTPConnection(ours.endpoint, timeout=20)
    connection.request("POST", "/v3/auth/authenticate", '{"name":"root","password":"p"}')
    token = json.loads(connection.getresponse().read())["token"]
    connection.close()
    try:
        assert ours.send("POST", "/v3/kv/range", f'{{"key":"{K}"}}').status == 400
        ours.headers["Authorization"] = "nonsense"
        refused = ours.send("POST", "/v3/kv/range", f'{{"key":"{K}"}}')
        assert (refused.status, refused.body) == (
            401,
            '{"code":16,"message":"etcdserver: invalid auth token"}',
        )
        for shown in (token, f"Bearer {token}"):
            ours.headers["Authorization"] = shown
            assert ours.send("POST", "/v3/kv/range", f'{{"key":"{K}"}}').status == 200
    finally:
        ours.headers["Authorization"] = token
        ours.send("POST", "/v3/auth/disable", "{}")
        ours.headers.clear()


def test_what_is_no_post_or_no_path_is_refused_in_json(ours: Http) -> None:
    method = ours.send("GET", "/v3/kv/range")
    path = ours.send("POST", "/v3/nothing", "{}")

    assert (method.status, json.loads(method.body)["code"]) == (501, 12)
    assert (path.status, path.body) == (404, '{"code":5,"message":"Not Found"}')


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/livez", 200, "ok\n"),
        ("/readyz", 200, "ok\n"),
        ("/livez?verbose", 200, "[+]serializable_read ok\nok\n"),
        (
            "/readyz?verbose&exclude=non_learner&exclude=data_corruption",
            200,
            "[+]serializable_read ok\n[+]linearizable_read ok\nok\n",
        ),
        ("/readyz/linearizable_read", 200, "ok\n"),
        ("/livez/serializable_read?verbose", 200, "[+]serializable_read ok\nok\n"),
        ("/readyz/nothing", 404, "404 page not found\n"),
    ],
)
def test_probes_say_which_checks_pass(ours: Http, path: str, status: int, body: str) -> None:
    answer = ours.send("GET", path)

    assert (answer.status, answer.body) == (status, body)
    assert answer.content_type == "text/plain; charset=utf-8"


def test_a_corrupt_member_is_not_ready_and_one_without_space_is(ours: Http) -> None:
    members = json.loads(ours.send("POST", "/v3/cluster/member/list", "{}").body)["members"]
    assert len(members) == 1
    for alarm, ready in (("NOSPACE", 200), ("CORRUPT", 503)):
        raised = f'{{"action":"ACTIVATE","memberID":"5","alarm":"{alarm}"}}'
        ours.send("POST", "/v3/maintenance/alarm", raised)
        try:
            health, readiness = ours.send("GET", "/health"), ours.send("GET", "/readyz")
            assert health.body == f'{{"health":"false","reason":"ALARM {alarm}"}}\n'
            assert ours.send("GET", f"/health?exclude={alarm}").status == 200
            assert readiness.status == ready
            assert ours.send("GET", "/livez").status == 200
        finally:
            ours.send("POST", "/v3/maintenance/alarm", raised.replace("ACTIVATE", "DEACTIVATE"))
    assert "[-]data_corruption failed: alarm activated: CORRUPT\n" in readiness.body


def test_any_page_may_ask_unless_told_otherwise(ours: Http) -> None:
    connection = http.client.HTTPConnection(ours.endpoint, timeout=20)
    connection.request("OPTIONS", "/v3/kv/range", headers={"Origin": "http://a.example"})
    answer = connection.getresponse()
    answer.read()
    connection.close()

    assert answer.status == 200
    assert answer.getheader("Access-Control-Allow-Origin") == "*"


def test_variables_and_metrics_are_served(ours: Http) -> None:
    ours.send("GET", "/readyz")  # checks are counted from the first one on
    variables = json.loads(ours.send("GET", "/debug/vars").body)
    metrics = ours.send("GET", "/metrics").body

    assert variables["raft.status"]["raftState"] == "StateLeader"
    for name in (
        "etcd_server_has_leader 1.0",
        'etcd_server_version{server_version="3.',
        'etcd_server_healthchecks_total{name="',
        "etcd_debugging_auth_revision ",
        "etcd_network_client_grpc_received_bytes_total ",
    ):
        assert name in metrics or name.replace("name", "type") in metrics, name


def test_http_and_metrics_can_have_ports_of_their_own() -> None:
    web, probes = free_ports(2)
    flags = [
        f"--listen-client-http-urls=http://127.0.0.1:{web}",
        f"--listen-metrics-urls=http://127.0.0.1:{probes}",
    ]
    cluster = ClusterProcess(KVSTORED, flags=flags)
    try:
        for member in cluster.members:
            member.start()
            member.wait_for_log("ready to serve client requests")
        on_grpc, on_web, on_probes = (
            Http(endpoint)
            for endpoint in (cluster.endpoints[0], f"127.0.0.1:{web}", f"127.0.0.1:{probes}")
        )
        assert on_grpc.send("GET", "/version").status == 404
        assert on_web.send("GET", "/version").status == 200
        assert on_web.send("POST", "/v3/kv/range", f'{{"key":"{K}"}}').status == 200
        assert on_probes.send("GET", "/metrics").status == 200
        assert on_probes.send("GET", "/health").status == 200
        assert on_probes.send("POST", "/v3/kv/range", f'{{"key":"{K}"}}').status == 404
    finally:
        cluster.close()
