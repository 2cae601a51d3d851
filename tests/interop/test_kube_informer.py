"""client-go's informer over our API server: nothing is missed, nothing is repeated."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cluster_process import KVSTORED, ClusterProcess
from tests.support.kube_process import api_server

PROGRAM = os.environ.get("KVSTORE_KUBE_INFORMER", "")

pytestmark = [
    pytest.mark.skipif(not PROGRAM, reason="run by tools/interop/kube_informer.sh"),
    pytest.mark.timeout(1800),
]


def test_an_informer_of_ten_thousand_objects_misses_and_repeats_nothing(tmp_path: Path) -> None:
    with ClusterProcess(KVSTORED, 1) as store:
        endpoint = store.members[0].endpoint
        control = str(Path(sys.executable).parent / "kvstorectl")
        compact = [control, "--endpoints", endpoint, "compaction"]
        with api_server(endpoint, tmp_path / "apiserver.log") as url:
            done = subprocess.run(
                [PROGRAM, url, *compact],
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=1500,
            )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    assert "nothing missed, nothing repeated" in done.stdout
