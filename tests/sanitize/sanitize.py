"""Build the twins instrumented, beside the checkout, and run what calls them.

    python tests/sanitize/sanitize.py address   # AddressSanitizer and UndefinedBehaviorSanitizer
    python tests/sanitize/sanitize.py bounds    # Cython's checks of indices

A copy of the sources in ``build/sanitize/KIND`` is built there, changed modules alone, and the
tests of the copy are run: tests/twin, tests/property, the vectors of the conformance kit, then
spoilt arguments (``fuzz_twins.py``). Options behind ``--`` go to pytest, which then runs alone.
Exit 1 where one of them fails. libgomp is not instrumented: races between threads are not seen.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("refimpl", "tests", "validation", "data_fixtures", "docs", "setup.py", "pyproject.toml")
LEFT_OUT = ("__pycache__", "*.so", "*.c", "*.pyd", "_build", "api", "gallery", "corpus", ".*")
BUILDS = {
    # UBSan's default set leaves the conversion of NaN and huge numbers to integers out
    "address": {"REFIMPL_SANITIZE": "address,undefined,float-cast-overflow"},
    "bounds": {"REFIMPL_DEBUG_CYTHON": "1"},
}
TESTS = ("tests/twin", "tests/property", "tests/golden/test_conform_vectors.py")


def copy_newer(source: str, target: str) -> str:
    """Copy a file that changed, so that only what changed is compiled again."""
    if not os.path.exists(target) or os.stat(source).st_mtime > os.stat(target).st_mtime:
        shutil.copy2(source, target)
    return target


def build(kind: str, folder: Path, jobs: int) -> None:
    """Copy the sources and compile the twins in the copy."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, copy_function=copy_newer, dirs_exist_ok=True,
                ignore=shutil.ignore_patterns(*LEFT_OUT),
            )  # fmt: skip
        else:
            copy_newer(str(ROOT / name), str(folder / name))
    for path in (folder / "refimpl").rglob("*.py*"):
        if not (ROOT / path.relative_to(folder)).exists():
            path.unlink()  # its source is gone
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "-j", str(jobs)]
    environment = {**os.environ, "REFIMPL_EXT": "always", "REFIMPL_OPENMP": "on", **BUILDS[kind]}
    subprocess.run(command, cwd=folder, env=environment, check=True)


def environment_of(kind: str, folder: Path) -> dict[str, str]:
    """Variables that the instrumented twins need: the runtime must be there before Python."""
    environment = {
        **os.environ, "PYTHONPATH": str(folder), "REFIMPL_EXPECT": "python,cython",
        "HYPOTHESIS_PROFILE": "", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    if kind == "address":
        compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "gcc").split()[0]
        runtimes = []
        for name in ("libasan.so", "libstdc++.so.6"):  # the second: exceptions of C++ libraries
            asked = [compiler, f"-print-file-name={name}"]
            found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
            runtimes.append(str(Path(found.strip()).resolve()))
        environment |= {
            "LD_PRELOAD": " ".join(runtimes),
            # Python leaves memory behind on purpose; an array that is too large is a MemoryError
            "ASAN_OPTIONS": ":".join(
                ("detect_leaks=0", "allocator_may_return_null=1", "max_allocation_size_mb=4096")
            ),
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONMALLOC": "malloc",  # every object in a block of its own
        }
    return environment


def run(kind: str, folder: Path, what: str, command: list[str]) -> bool:
    """Run a step in the copy and print a line on it; whether it passed."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment_of(kind, folder), check=False
    )
    seconds = time.monotonic() - start
    words = "passed" if done.returncode == 0 else f"FAILED, status {done.returncode}"
    print(f"{kind}: {what}: {words} ({seconds:.0f} s)", flush=True)
    return done.returncode == 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="The compiled twins under sanitizers.")
    parser.add_argument("kinds", nargs="*", choices=[*BUILDS, []], help="all of them")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "sanitize")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--build-only", action="store_true")
    own, _, pytest_options = " ".join(arguments).partition(" -- ")
    options = parser.parse_args(own.split())
    is_met = True
    for kind in options.kinds or BUILDS:
        folder = (options.folder / kind).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        build(kind, folder, options.jobs)
        if options.build_only:
            continue
        # reports of the sanitizers go to the file descriptor, which pytest must leave alone
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "--capture=sys"]
        if pytest_options:
            is_met &= run(kind, folder, pytest_options, [*pytest, *pytest_options.split()])
            continue
        is_met &= run(kind, folder, "tests", [*pytest, *TESTS])
        fuzz = "tests/sanitize/fuzz_twins.py"
        is_met &= run(kind, folder, "spoilt arguments", [fuzz])
    return int(not is_met)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
