# All OpenMP names used by the twins come from here: no-ops where OpenMP is absent.
cdef extern from *:
    """
    #ifdef _OPENMP
      #include <omp.h>
      #define REFIMPL_OPENMP 1
      static int refimpl_max_threads(void) { return omp_get_max_threads(); }
    #else
      #define REFIMPL_OPENMP 0
      static int refimpl_max_threads(void) { return 1; }
    #endif
    """
    const int REFIMPL_OPENMP
    int refimpl_max_threads() noexcept nogil
