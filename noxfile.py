"""The whole matrix of checks on one machine: ``nox``, or ``nox -s tests-serial`` and so on."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "type", "tests-python", "tests-cython", "tests-serial", "sdist"]

# as `make test`: a file's tests share their fixtures, so a file goes to one process
TESTS = ("pytest", "-n", "2", "--dist", "loadfile")


def install(session: nox.Session, *groups: str, **env: str) -> None:
    """Install the pinned set and refimpl itself, compiled as the environment says."""
    wanted = nox.project.dependency_groups(
        nox.project.load_toml("pyproject.toml"), *(groups or ("dev",))
    )
    session.install("-c", "constraints.txt", *wanted)
    session.install("-c", "constraints.txt", ".", env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, import contracts, spelling."""
    install(session, REFIMPL_EXT="never")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("cython-lint", "refimpl/_ext")
    session.run("lint-imports", "--no-logo")
    session.run("codespell")


@nox.session
def type(session: nox.Session) -> None:
    """Types, strictly."""
    install(session, REFIMPL_EXT="never")
    session.run("mypy")


@nox.session(name="tests-python")
def tests_python(session: nox.Session) -> None:
    """No compiler: the definitions alone."""
    install(session, REFIMPL_EXT="never")
    session.run(*TESTS, *session.posargs, env={"REFIMPL_EXPECT": "python"})


@nox.session(name="tests-cython")
def tests_cython(session: nox.Session) -> None:
    """Compiled twins with OpenMP."""
    install(session, REFIMPL_EXT="always", REFIMPL_OPENMP="on")
    session.run(*TESTS, *session.posargs, env={"REFIMPL_EXPECT": "python,cython"})


@nox.session(name="tests-serial")
def tests_serial(session: nox.Session) -> None:
    """Compiled twins without OpenMP."""
    install(session, REFIMPL_EXT="always", REFIMPL_OPENMP="off")
    session.run(*TESTS, *session.posargs, env={"REFIMPL_EXPECT": "python,cython"})


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, warnings being errors."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def validation(session: nox.Session) -> None:
    """Long comparisons with real data and published figures."""
    install(session, REFIMPL_EXT="always")
    session.run("pytest", "-m", "slow")


@nox.session
def sdist(session: nox.Session) -> None:
    """The source distribution builds a wheel by itself."""
    session.install("build")
    session.run("python", "-m", "build")
