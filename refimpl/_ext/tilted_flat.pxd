# What other twins need of the tilted flat model.
cdef struct Surface:
    double t[3][3]
    double dt[3][3][3]


cdef void tilt(double tx, double ty, double tz, Surface* s) noexcept nogil

cdef void one_point(
    double f, double s, const double* c, const double* turn, const double* g, Surface* u,
    double* radius, double* eta, double* untilted, double* jac
) noexcept nogil

cdef double* turns(const double[:, ::1] corrections) except NULL
