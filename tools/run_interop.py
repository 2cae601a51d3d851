"""Run every script of tools/interop against what this machine has: `make interop`.

A script exits with 0 when the peer was content, with 77 after saying which program is missing, and
otherwise with what the peer said. A missing program fails nothing, but is always listed.
"""

import subprocess
import sys
from pathlib import Path

MISSING = 77


def main() -> int:
    """Run the scripts in order of name; return 1 if a peer was not content."""
    scripts = sorted((Path(__file__).parent / "interop").glob("*.sh"))
    results: dict[str, int] = {}
    for script in scripts:
        print(f"--- {script.stem}", flush=True)
        results[script.stem] = subprocess.run(["bash", str(script)], check=False).returncode
    print("---")
    for name, code in results.items():
        verdict = {0: "passed", MISSING: "not run: something is missing, see above"}
        print(f"{name}: {verdict.get(code, f'failed ({code})')}")
    if not results:
        print("there are no interop scripts yet")
    return int(any(code not in (0, MISSING) for code in results.values()))


if __name__ == "__main__":
    sys.exit(main())
