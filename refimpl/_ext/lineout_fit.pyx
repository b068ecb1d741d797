"""Twin of refimpl/objective/lineout_fit.py, with the simplex of refimpl/objective/simplex.py."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport INFINITY, NAN, exp, fabs, isnan

cdef enum:
    MOST = 10  # parameters of the larger model

cdef double TOLERANCE = 1e-5
cdef double ROUNDOFF = 1e-13


cdef struct Fit:
    const double* y
    int steps
    double first
    double step
    int n_par                       # 6 or 10
    int n_free
    int free[MOST]
    double x[MOST]                  # all parameters: frozen ones keep their value
    double low[MOST]                # of the free ones, packed
    double high[MOST]
    double best[MOST]
    double best_value
    int evaluations
    int limit
    double points[MOST + 1][MOST]
    double values[MOST + 1]
    int order[MOST + 1]


cdef inline double one_peak(
    double radius, double centre, double mu, double gauss, double lorentz, double height
) noexcept nogil:
    cdef double d = radius - centre
    cdef double dd = d * d
    cdef double shape_l = 1.0 / (1.0 + dd / (lorentz * lorentz))
    cdef double shape_g = exp(-dd / (2.0 * gauss * gauss))
    return height * (mu * shape_l + (1.0 - mu) * shape_g)


cdef double call(Fit* f, const double* packed) noexcept nogil:
    """Sum of squares at a packed vector; counts, and keeps the best."""
    cdef double* x = f.x
    cdef double total = 0.0, model, radius, residual
    cdef int j
    for j in range(f.n_free):
        x[f.free[j]] = packed[j]
    for j in range(f.steps):
        radius = f.first + j * f.step
        model = x[f.n_par - 1]
        if f.n_par == 6:
            model = model + one_peak(radius, x[0], x[1], x[2], x[3], x[4])
        else:
            model = model + one_peak(radius, x[0], x[2], x[3], x[4], x[5])
            model = model + one_peak(radius, x[1], x[2], x[6], x[7], x[8])
        residual = model - f.y[j]
        total = total + residual * residual
    if isnan(total):
        total = INFINITY
    f.evaluations += 1
    if total <= f.best_value:
        f.best_value = total
        for j in range(f.n_free):
            f.best[j] = packed[j]
    return total


cdef bint move(
    Fit* f, const double* centre, double scale, const double* vertex, double* to
) noexcept nogil:
    """Write centre + scale (centre - vertex) within bounds; True if it is a new point."""
    cdef bint at_centre = True, at_vertex = True
    cdef double v, old
    cdef int j
    for j in range(f.n_free):
        old = vertex[j]
        v = centre[j] + scale * (centre[j] - old)
        if v < f.low[j]:
            v = f.low[j]
        if v > f.high[j]:
            v = f.high[j]
        if fabs(v - centre[j]) > ROUNDOFF * (fabs(v) + fabs(centre[j])):
            at_centre = False
        if fabs(v - old) > ROUNDOFF * (fabs(v) + fabs(old)):
            at_vertex = False
        to[j] = v
    return not (at_centre or at_vertex)


cdef void rank(Fit* f) noexcept nogil:
    """Order of the vertices by value, ties by index."""
    cdef int i, k, it
    for i in range(f.n_free + 1):
        it = i
        k = i - 1
        while k >= 0 and f.values[f.order[k]] > f.values[it]:
            f.order[k + 1] = f.order[k]
            k -= 1
        f.order[k + 1] = it


cdef void middle(Fit* f, double* centre) noexcept nogil:
    """Mean of all vertices but the worst."""
    cdef int i, j, worst = f.order[f.n_free]
    for j in range(f.n_free):
        centre[j] = 0.0
    for i in range(f.n_free + 1):
        if i != worst:
            for j in range(f.n_free):
                centre[j] = centre[j] + f.points[i][j]
    for j in range(f.n_free):
        centre[j] = centre[j] * (1.0 / f.n_free)


cdef bint converged(Fit* f, const double* centre) noexcept nogil:
    cdef double low = f.values[f.order[0]], high = f.values[f.order[f.n_free]]
    cdef double gap = fabs(low - high), far, spread = 0.0, size = 0.0, d
    cdef int i, j
    if high < INFINITY and (gap < TOLERANCE * (fabs(low) + fabs(high)) * 0.5 or gap == 0.0):
        return True
    for j in range(f.n_free):
        far = 0.0
        for i in range(f.n_free + 1):
            d = fabs(f.points[i][j] - centre[j])
            if d > far:
                far = d
        far = far + centre[j]
        spread = spread + fabs(centre[j] - far)
        size = size + fabs(centre[j])
    return spread < TOLERANCE * size


cdef double first_vertex(double x, double step, double low, double high) noexcept nogil:
    cdef double at = x + step
    if at > high:
        at = high if high - x > fabs(step) * 0.1 else x - fabs(step)
    if at < low:
        if x - low > fabs(step) * 0.1:
            return low
        at = x + fabs(step)
        if at > high:
            at = 0.5 * ((high if high - x > x - low else low) + x)
    return at


cdef bint first_simplex(Fit* f, const double* x0) noexcept nogil:
    """Evaluate the first simplex; True when the calls are used up."""
    cdef double step
    cdef int i, j, n = f.n_free
    for i in range(n + 1):
        for j in range(n):
            f.points[i][j] = x0[j] if i == 0 else f.best[j]
        if i > 0:
            j = i - 1
            step = 0.25 * (f.high[j] - f.low[j])
            if f.high[j] > x0[j] and f.high[j] - x0[j] < step:
                step = 0.75 * (f.high[j] - x0[j])
            if x0[j] > f.low[j] and x0[j] - f.low[j] < step:
                step = 0.75 * (x0[j] - f.low[j])
            f.points[i][j] = first_vertex(f.best[j], step, f.low[j], f.high[j])
        f.values[i] = call(f, f.points[i])
        if f.evaluations >= f.limit:
            return True
    return False


cdef bint shrink(Fit* f) noexcept nogil:
    cdef int i, best = f.order[0]
    for i in range(f.n_free + 1):
        if i == best:
            continue
        if not move(f, f.points[best], -0.5, f.points[i], f.points[i]):
            return True
        f.values[i] = call(f, f.points[i])
        if f.evaluations >= f.limit:
            return True
    return False


cdef bint one_step(Fit* f, const double* centre) noexcept nogil:
    """Reflect, expand, contract or shrink once; True when that ended the fit."""
    cdef double reflected[MOST]
    cdef double tried[MOST]
    cdef double at_reflected, at_tried, scale
    cdef int n = f.n_free, j
    cdef int best = f.order[0], second = f.order[n - 1], worst = f.order[n]
    cdef bint expand
    if not move(f, centre, 1.0, f.points[worst], reflected):
        return True
    at_reflected = call(f, reflected)
    if f.evaluations >= f.limit:
        return True
    if f.values[best] <= at_reflected < f.values[second]:
        for j in range(n):
            f.points[worst][j] = reflected[j]
        f.values[worst] = at_reflected
        return False
    expand = at_reflected < f.values[best]
    scale = 2.0 if expand else (-0.5 if f.values[worst] <= at_reflected else 0.5)
    if not move(f, centre, scale, f.points[worst], tried):
        return True
    at_tried = call(f, tried)
    if f.evaluations >= f.limit:
        return True
    if expand and at_tried >= at_reflected:
        for j in range(n):
            tried[j] = reflected[j]
        at_tried = at_reflected
    elif not expand and not (at_tried < at_reflected and at_tried < f.values[worst]):
        return shrink(f)
    for j in range(n):
        f.points[worst][j] = tried[j]
    f.values[worst] = at_tried
    return False


cdef void minimise(Fit* f, const double* x0, const double* low, const double* high) noexcept nogil:
    cdef double start[MOST]
    cdef double centre[MOST]
    cdef int j
    f.n_free = 0
    f.evaluations = 0
    f.best_value = INFINITY
    for j in range(f.n_par):
        f.x[j] = x0[j]
        if high[j] > low[j]:
            f.free[f.n_free] = j
            f.low[f.n_free] = low[j]
            f.high[f.n_free] = high[j]
            start[f.n_free] = x0[j]
            f.best[f.n_free] = x0[j]
            f.n_free += 1
    if not first_simplex(f, start):
        while True:
            rank(f)
            middle(f, centre)
            if converged(f, centre) or one_step(f, centre):
                break
    for j in range(f.n_free):
        f.x[f.free[j]] = f.best[j]


cdef double centroid(Fit* f, double inner, double outer) noexcept nogil:
    """Intensity-weighted mean radius between two radii (the outer one excluded)."""
    cdef double above = 0.0, below = 0.0, radius
    cdef int j
    for j in range(f.steps):
        radius = f.first + j * f.step
        if inner <= radius < outer:
            above += radius * f.y[j]
            below += f.y[j]
    return above / below if below != 0.0 else NAN


cdef void bounds_of(
    Fit* f, double peak, double base, double split, double* x0, double* low, double* high
) noexcept nogil:
    """Published starts and bounds; ``split`` is used by the doublet only."""
    cdef double last = f.first + (f.steps - 1) * f.step, half = f.step / 2.0
    cdef double wide = f.step * f.steps / (2.0 if f.n_par == 6 else 4.0)
    cdef int j, k, centres = 1 if f.n_par == 6 else 2
    for j in range(centres):
        low[j] = f.first
        high[j] = last
    if centres == 1:
        x0[0] = centroid(f, -INFINITY, INFINITY)
    else:
        x0[0] = centroid(f, -INFINITY, split)
        x0[1] = centroid(f, split, INFINITY)
    x0[centres] = 0.5
    low[centres] = 0.0
    high[centres] = 1.0
    for k in range(centres):
        j = centres + 1 + 3 * k
        x0[j] = x0[j + 1] = f.step
        low[j] = low[j + 1] = half
        high[j] = high[j + 1] = wide
        x0[j + 2] = peak if centres == 1 else 0.6 * peak
        low[j + 2] = peak / 100.0
        high[j + 2] = 1.5 * peak
    j = f.n_par - 1
    x0[j] = base
    low[j] = 0.0
    high[j] = 1.5 * base if centres == 1 else (2.0 * base if base > 0.0 else 1.0)
    for j in range(f.n_par):
        if not high[j] >= low[j]:
            high[j] = low[j]
        if isnan(x0[j]):
            x0[j] = 0.5 * (low[j] + high[j])
        if x0[j] < low[j]:
            x0[j] = low[j]
        if x0[j] > high[j]:
            x0[j] = high[j]


cdef int one_row(
    const double* y, int steps, double first, double step, double split, int n_par, double* out
) noexcept nogil:
    cdef Fit f
    cdef double x0[MOST]
    cdef double low[MOST]
    cdef double high[MOST]
    cdef double peak = NAN, total = 0.0, base
    cdef int j
    for j in range(n_par):
        out[j] = NAN
    for j in range(steps):
        total += y[j] - y[j]
        if not peak >= y[j]:
            peak = y[j]
    peak = peak + total
    if not peak > 0.0:
        return 0
    base = (y[0] + y[steps - 1]) / 2.0
    base = base if base > 0.0 else 0.0
    f.y = y
    f.steps = steps
    f.first = first
    f.step = step
    f.n_par = n_par
    f.limit = 5000 if n_par == 6 else 10000
    bounds_of(&f, peak, base, split, x0, low, high)
    minimise(&f, x0, low, high)
    for j in range(n_par):
        out[j] = f.x[j]
    return f.evaluations


cdef run(profile, steps, first_um, step_um, middle_um, int n_par, int threads):
    cdef const double[:, ::1] y = profile         # IN (b, s)
    cdef const long long[::1] m = steps           # IN (b)
    cdef const double[::1] first = first_um       # IN (b) [um]
    cdef const double[::1] step = step_um         # IN (b) [um]
    cdef const double[::1] split = middle_um      # IN (b) [um]
    cdef Py_ssize_t b = y.shape[0], i
    cdef int width = y.shape[1]
    found = np.full((b, n_par), np.nan)
    calls = np.zeros(b, dtype=np.int32)
    cdef double[:, ::1] out = found               # OUT (b, n_par)
    cdef int[::1] n = calls                       # OUT (b)
    if b == 0 or width == 0:
        return found, calls
    for i in prange(b, nogil=True, num_threads=threads, schedule="dynamic", chunksize=16):
        n[i] = one_row(
            &y[i, 0], max(0, min(<int> m[i], width)), first[i], step[i], split[i], n_par,
            &out[i, 0]
        )
    return found, calls


def fit_singlets(profile, steps, first_um, step_um, int threads=1):
    """See refimpl/objective/lineout_fit.py."""
    return run(profile, steps, first_um, step_um, first_um, 6, threads)


def fit_doublets(profile, steps, first_um, step_um, middle_um, int threads=1):
    """See refimpl/objective/lineout_fit.py."""
    return run(profile, steps, first_um, step_um, middle_um, 10, threads)
