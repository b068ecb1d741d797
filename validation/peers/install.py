"""Install the peers into the environment that runs this, one by one; a failure is a note, no end.

    ENVIRONMENT/bin/python validation/peers/install.py

Every line of requirements.txt is a constraint for all. What pip says of a line that it cannot
install goes to ``absent.json`` at the root of the environment, where run.py finds it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
ABSENT = "absent.json"


def wanted(text: str) -> list[str]:
    """Return the lines that are no comments."""
    return [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]


def install(lines: list[str], others: list[str]) -> str:
    """Return why pip could not install the lines, constrained by others; empty if it could."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("\n".join(others) + "\n", encoding="utf-8")
        done = subprocess.run(
            [*command, "-c", str(constraints), *lines], capture_output=True, text=True, check=False
        )
    if done.returncode == 0:
        return ""
    said = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    return (errors or said or ["pip gave no reason"])[-1]


def main() -> int:
    """Install; exit 1 only where nothing at all could be."""
    lines = wanted(REQUIREMENTS.read_text(encoding="utf-8"))
    absent: dict[str, str] = {}
    if install(lines, []):  # all at once is faster; one by one says which
        for line in lines:
            why = install([line], [other for other in lines if other != line])
            absent |= {line: why} if why else {}
    Path(sys.prefix, ABSENT).write_text(json.dumps(absent, indent=1) + "\n", encoding="utf-8")
    for line, why in absent.items():
        print(f"not installed: {line}: {why}", file=sys.stderr)
    return int(len(absent) == len(lines))


if __name__ == "__main__":
    sys.exit(main())
