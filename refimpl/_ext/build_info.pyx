"""What this build of the twins can do."""

from refimpl._ext.openmp cimport REFIMPL_OPENMP, refimpl_max_threads


def openmp_enabled():
    """Whether the twins were compiled with OpenMP."""
    return bool(REFIMPL_OPENMP)


def max_threads():
    """Threads that OpenMP would use by default; 1 without OpenMP."""
    return refimpl_max_threads()
