"""Run seeds: `python -m tests.simulation.members --seeds 0:200 --jobs 2`, or `--trace` one."""

import argparse
import multiprocessing
import sys
import time
from collections import Counter

from tests.simulation.members.cluster import Outcome, run_seed
from tests.simulation.members.report import problems, summary


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.members", description=__doc__)
    parser.add_argument("--seeds", default="0:100", help="first:end")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--trace", type=int, metavar="SEED", help="run one seed and print its trace"
    )
    parser.add_argument("--stop", type=int, default=5, help="failing seeds after which to stop")
    arguments = parser.parse_args()
    if arguments.trace is not None:
        outcome = run_seed(arguments.trace, is_traced=True)
        print("\n".join(outcome.trace))
        print(outcome.detail or "ok", dict(outcome.counts))
        return bool(outcome.guarantee)
    first, end = map(int, arguments.seeds.split(":"))
    began = time.monotonic()
    totals: Counter[str] = Counter()
    failures: list[Outcome] = []
    done = 0
    virtual_s = 0.0
    with multiprocessing.Pool(arguments.jobs) as pool:
        for outcome in pool.imap_unordered(run_seed, range(first, end), chunksize=2):
            done += 1
            totals += outcome.counts
            virtual_s += outcome.virtual_s
            if outcome.guarantee:
                failures.append(outcome)
                if len(failures) == arguments.stop:
                    break
    seconds = time.monotonic() - began
    print(summary(done, failures, totals, seconds=seconds, virtual_s=virtual_s))
    missing = problems(done, totals)
    for problem in missing:
        print(problem)
    return bool(failures or missing)


if __name__ == "__main__":
    sys.exit(main())
