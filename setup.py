"""Probe for OpenMP and cythonize the twins; everything else is in pyproject.toml.

REFIMPL_EXT = auto | always | never       build the twins if a compiler works / insist / skip
REFIMPL_OPENMP = auto | on | off          link OpenMP if the probe passes / insist / skip
REFIMPL_DEBUG_CYTHON = 1                  bounds checks on
REFIMPL_SANITIZE = address,undefined      instrumented twins (GCC or Clang), for tests/sanitize
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

EXT = os.environ.get("REFIMPL_EXT", "auto")
OPENMP = os.environ.get("REFIMPL_OPENMP", "auto")
DEBUG = os.environ.get("REFIMPL_DEBUG_CYTHON", "0") == "1"
SANITIZE = os.environ.get("REFIMPL_SANITIZE", "")
PROBE = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"

for name, value, allowed in (
    ("REFIMPL_EXT", EXT, ("auto", "always", "never")),
    ("REFIMPL_OPENMP", OPENMP, ("auto", "on", "off")),
):
    if value not in allowed:
        sys.exit(f"setup.py: {name}={value!r}: expected one of {', '.join(allowed)}")


def openmp_flags(compiler_type):
    if compiler_type == "msvc":
        return ["/openmp"], []
    if sys.platform == "darwin":
        return ["-Xpreprocessor", "-fopenmp"], ["-lomp"]
    return ["-fopenmp"], ["-fopenmp"]


class BuildTwins(build_ext):
    """Compile every twin with the same floating-point rules; survive a missing compiler if auto."""

    def build_extensions(self):
        kind = self.compiler.compiler_type
        # No fast-math, no contraction, no -march: a twin must equal its definition on any machine.
        # -fno-math-errno and -fno-trapping-math change no result, they only allow inlined sqrt.
        flags = (
            ["/O2", "/fp:precise"]
            if kind == "msvc"
            else ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-w"]
        )
        cflags, lflags = ([], []) if OPENMP == "off" else openmp_flags(kind)
        if cflags and not self.probe_openmp(cflags, lflags):
            if OPENMP == "on":
                sys.exit("setup.py: REFIMPL_OPENMP=on, but a test program for OpenMP does not run")
            self.warn("no OpenMP: the compiled twins will use one thread")
            cflags, lflags = [], []
        if SANITIZE:  # the last -O counts; the first finding ends the process
            watch = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all"]
            cflags = [*cflags, "-O1", "-g1", "-fno-omit-frame-pointer", *watch]
            lflags = [*lflags, *watch]
        for ext in self.extensions:
            ext.extra_compile_args = flags + cflags
            ext.extra_link_args = lflags
            ext.optional = EXT == "auto"  # cythonize() drops it when set on the Extension
        super().build_extensions()

    def probe_openmp(self, cflags, lflags):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(PROBE)
            try:
                objects = self.compiler.compile([str(source)], folder, extra_postargs=cflags)
                program = str(Path(folder) / "probe")
                self.compiler.link_executable(objects, program, extra_postargs=lflags)
                return subprocess.run([program], check=False, capture_output=True).returncode == 0
            except Exception as exc:  # distutils raises a family of unrelated classes
                self.warn(f"OpenMP probe failed: {exc}")
                return False


def extensions():
    if EXT == "never":
        return []
    sources = sorted(Path("refimpl/_ext").glob("*.pyx"))
    if not sources:
        if EXT == "always":
            sys.exit("setup.py: REFIMPL_EXT=always, but refimpl/_ext holds no .pyx file")
        return []
    from Cython.Build import cythonize

    directives = {
        "language_level": 3,
        "boundscheck": DEBUG,
        "wraparound": False,  # a negative index is out of bounds
        "cdivision": True,
        "initializedcheck": DEBUG,
        "show_performance_hints": False,
        "freethreading_compatible": True,
    }
    modules = [Extension(f"refimpl._ext.{p.stem}", [p.as_posix()]) for p in sources]
    return cythonize(modules, compiler_directives=directives, quiet=True)


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildTwins})
