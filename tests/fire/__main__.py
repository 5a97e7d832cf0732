"""All programs of this folder and pip-audit, one after the other: one that fails stops none. Ignores what they do.

    python -m tests.fire --kills 3 --minutes 2 --seconds 5

Ends with a table, and with 1 if any failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def steps(asked: argparse.Namespace) -> dict[str, list[str]]:
    """Name -> command."""
    ours = {
        "kills": ["--kills", asked.kills],
        "troubles": ["--seconds", asked.seconds],
        "crowds": [],
        "food": ["--schemathesis", f"{asked.tools}/schemathesis", "--examples", asked.examples],
        "endurance": ["--minutes", asked.minutes],
        "dependencies": [],
    }
    audit = [f"{asked.tools}/pip-audit", "-r", "constraints.txt", "--no-deps", "--disable-pip", "--strict"]
    return {name: [sys.executable, "-m", f"tests.fire.{name}", *given] for name, given in ours.items()} | {
        "pip-audit": audit
    }


def run_all(commands: Mapping[str, Sequence[str]]) -> bool:
    """Run each to its end and print a line of each; whether all ended with 0."""
    lines, all_passed = [], True
    for name, command in commands.items():
        print(f"--- {name}", flush=True)
        started = time.monotonic()
        try:
            code = subprocess.run(command, check=False).returncode
        except FileNotFoundError:  # a tool that could not be installed
            code = 127
        lines.append(
            f"{name:14} {'passed' if code == 0 else f'FAILED ({code})':14} {time.monotonic() - started:6.0f} s"
        )
        all_passed &= code == 0
    print("---", *lines, sep="\n")
    return all_passed


def main() -> None:
    """Read how much of each, and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", default="100")
    parser.add_argument("--minutes", default="60", help="of mixed load")
    parser.add_argument("--seconds", default="30", help="of each trouble")
    parser.add_argument("--examples", default="5", help="of each operation")
    parser.add_argument("--tools", type=Path, default=Path("var/fire-tools/bin"), help="where schemathesis is")
    sys.exit(0 if run_all(steps(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()
