"""Twin of refimpl/imaging/ring_peaks.py; its inner loop is in ring_peaks.h."""

import numpy as np

from cython.parallel cimport parallel, prange
from libc.math cimport INFINITY, NAN, fabs, isfinite, isnan, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from "ring_peaks.h" nogil:
    void accumulate_6(
        const double*, const double*, const double*, const double*, int64_t, const double*,
        double, double,
        double, double, const double*, int, double*, double*, double*, double*, double*) noexcept
    void accumulate_8(
        const double*, const double*, const double*, const double*, int64_t, const double*,
        double, double,
        double, double, const double*, int, double*, double*, double*, double*, double*) noexcept

cdef int MAX_ITERATIONS = 40
cdef int REWEIGHT = 12
cdef int MIN_PIXELS = 12
cdef double WIDTH_RANGE = 4.0
cdef double FAR = 1e9
cdef enum:
    SUB_BINS = 32


cdef void start(
    const double* x, const double* y, const double* c, const double* e, Py_ssize_t n,
    double low, double high,
    double first, double second, double width, double* p
) noexcept nogil:
    """Start values from a coarse profile of the bin."""
    cdef double total[SUB_BINS]
    cdef double count[SUB_BINS]
    cdef double filled[SUB_BINS]
    cdef double place, value, best_value, weight, moment, background = 0.0, reach, centre, pace
    cdef Py_ssize_t i
    cdef int j, k, best, cells = 0, quiet, peaks = 1 if isnan(second) else 2
    for j in range(SUB_BINS):
        total[j] = 0.0
        count[j] = 0.0
    for i in range(n):
        place = (x[i] - low) * (SUB_BINS / (high - low))
        if not fabs(place) < FAR:  # NaN, or a window without width
            for k in range(8):
                p[k] = NAN
            return
        j = min(max(<int> place, 0), SUB_BINS - 1)
        total[j] += y[i] / c[i] - (e[i] if e != NULL else 0.0)
        count[j] += 1.0
    for j in range(SUB_BINS):
        if not isfinite(total[j]):  # a NaN among the counts: no start, so no fit
            for k in range(8):
                p[k] = NAN
            return
    for j in range(SUB_BINS):
        if count[j] > 0.0:  # insertion sort
            value = total[j] / count[j]
            k = cells
            while k > 0 and filled[k - 1] > value:
                filled[k] = filled[k - 1]
                k -= 1
            filled[k] = value
            cells += 1
    quiet = max(1, cells // 3)
    for j in range(quiet):
        background += filled[j]
    p[4] = background / quiet
    p[5] = 0.0
    p[2] = width
    p[3] = 0.5
    pace = (high - low) / SUB_BINS
    for k in range(peaks):
        centre = first if k == 0 else second
        reach = (high - low) if peaks == 1 else 0.5 * fabs(second - first)
        best = -1
        best_value = -INFINITY
        for j in range(SUB_BINS):
            if count[j] > 0.0 and fabs(low + (j + 0.5) * pace - centre) < reach:
                value = total[j] / count[j] - p[4]
                if value > best_value:
                    best_value = value
                    best = j
        weight = 0.0
        moment = 0.0
        for j in range(max(best - 2, 0), min(best + 3, SUB_BINS)):
            if count[j] > 0.0 and fabs(low + (j + 0.5) * pace - centre) < reach:
                value = total[j] / count[j] - p[4]
                if value > 0.0:
                    weight += value
                    moment += value * (low + (j + 0.5) * pace)
        p[6 * k] = moment / weight if weight > 0.0 else centre
        p[6 * k + 1] = max(best_value, 0.0) if best >= 0 else 0.0


cdef bint cholesky(double* m, const int* free_of, int k) noexcept nogil:
    """Factorise the k x k lower triangle in place (row stride 8); False if not positive."""
    cdef int i, j, q
    cdef double s
    for i in range(k):
        for j in range(i + 1):
            s = m[8 * i + j]
            for q in range(j):
                s -= m[8 * i + q] * m[8 * j + q]
            if i == j:
                if not s > 0.0:
                    return False
                m[8 * i + i] = sqrt(s)
            else:
                m[8 * i + j] = s / m[8 * j + j]
    return True


cdef int gather(
    const double* a, const double* b, const double* p, const double* lower, const double* upper,
    int n_par, int* index, double* scale
) noexcept nogil:
    """Indices of the parameters not held by a bound; -1 if one of them has no curvature."""
    cdef int i, k = 0
    for i in range(n_par):
        if (p[i] <= lower[i] and b[i] < 0.0) or (p[i] >= upper[i] and b[i] > 0.0):
            continue
        scale[k] = sqrt(a[9 * i])
        if not scale[k] > 0.0:
            return -1
        index[k] = i
        k += 1
    return k


cdef bint solve(
    const double* a, const double* b, double damping, const int* index, const double* scale, int k,
    double* step
) noexcept nogil:
    cdef double m[64]
    cdef double z[8]
    cdef int i, j
    for i in range(k):
        for j in range(i + 1):
            m[8 * i + j] = a[8 * index[i] + index[j]] / (scale[i] * scale[j])
        m[9 * i] += damping
    if not cholesky(m, index, k):
        return False
    for i in range(k):
        z[i] = b[index[i]] / scale[i]
        for j in range(i):
            z[i] -= m[8 * i + j] * z[j]
        z[i] /= m[9 * i]
    for i in range(k - 1, -1, -1):
        for j in range(i + 1, k):
            z[i] -= m[8 * j + i] * z[j]
        z[i] /= m[9 * i]
    for i in range(k):
        step[index[i]] = z[i] / scale[i]
    return True


cdef void standard_errors(
    const double* a, const int* index, const double* scale, int k, int n_par, double* sigma
) noexcept nogil:
    """Square roots of the diagonal of the inverse, by the inverse of the Cholesky factor."""
    cdef double m[64]
    cdef double inverse[64]
    cdef double s
    cdef int i, j, q
    cdef bint ok = k >= 0
    if ok:
        for i in range(k):
            for j in range(i + 1):
                m[8 * i + j] = a[8 * index[i] + index[j]] / (scale[i] * scale[j])
        ok = cholesky(m, index, k)
    for i in range(n_par):
        sigma[i] = 0.0 if ok else NAN
    if not ok:
        return
    for j in range(k):
        for i in range(j, k):
            s = 1.0 if i == j else 0.0
            for q in range(j, i):
                s -= m[8 * i + q] * inverse[8 * q + j]
            inverse[8 * i + j] = s / m[9 * i]
    for i in range(k):
        s = 0.0
        for q in range(i, k):
            s += inverse[8 * q + i] * inverse[8 * q + i]
        sigma[index[i]] = sqrt(s) / scale[i]


cdef int fit_one(
    const double* x, const double* y, const double* c, const double* e, Py_ssize_t n,
    const double* expected,
    double low, double high, double width, double gain, double v0, double rel2, double tolerance,
    double* work,
    double* p, double* sigma, double* chi2, long long* iterations
) noexcept nogil:
    """One bin; ``work`` holds 2 (n + 8) numbers. Returns the status."""
    cdef int n_par = 6 if isnan(expected[1]) else 8, i, status = 1, turn = 0, k
    cdef double lower[8]
    cdef double upper[8]
    cdef double trial[8]
    cdef double step[8]
    cdef double a[64]
    cdef double b[8]
    cdef double new_a[64]
    cdef double new_b[8]
    cdef double scale[8]
    cdef int index[8]
    cdef double middle = 0.5 * (low + high), damping = 1e-3, before, after, own = 0.0, reach
    cdef double* weight = work
    cdef double* new_weight = work + n + 8
    cdef double* swap
    cdef bint small
    for i in range(8):
        p[i] = NAN
        sigma[i] = NAN
    chi2[0] = NAN
    iterations[0] = 0
    if n < MIN_PIXELS + n_par - 6:
        return 2
    for i in range(8):
        lower[i] = -INFINITY
        upper[i] = INFINITY
    lower[0] = low
    lower[6] = low
    upper[0] = high
    upper[6] = high
    lower[1] = 0.0
    lower[7] = 0.0
    lower[2] = width / WIDTH_RANGE
    upper[2] = max(min(width * WIDTH_RANGE, high - low), lower[2])
    lower[3] = 0.0
    upper[3] = 1.0
    if n_par == 8:
        upper[0] = 0.5 * (expected[0] + expected[1])
        lower[6] = upper[0]
    start(x, y, c, e, n, low, high, expected[0], expected[1], width, trial)
    for i in range(n_par):
        trial[i] = min(max(trial[i], lower[i]), upper[i])
    if not (trial[1] > 0.0 and (n_par == 6 or trial[7] > 0.0)):
        return 3
    for i in range(n_par):
        p[i] = trial[i]
    if n_par == 6:
        accumulate_6(
            x, y, c, e, n, p, middle, gain, v0, rel2, NULL, 0, weight, a, b, &before, &before)
    else:
        accumulate_8(
            x, y, c, e, n, p, middle, gain, v0, rel2, NULL, 0, weight, a, b, &before, &before)
    # `before` is the sum of squares of the accepted model under its own weights; the next trial
    # is compared under the same weights
    chi2[0] = before
    for turn in range(1, MAX_ITERATIONS + 1):
        k = gather(a, b, p, lower, upper, n_par, index, scale)
        for i in range(n_par):
            step[i] = 0.0
        if k < 0 or not solve(a, b, damping, index, scale, k, step):
            damping = max(10.0 * damping, 1e-3)
            if damping > 1e8:
                break
            continue
        # a misfit widens the true standard errors by the root of the reduced chi-square
        reach = tolerance * sqrt(max(before / (n - n_par + 1), 1.0))
        small = True
        for i in range(n_par):
            trial[i] = min(max(p[i] + step[i], lower[i]), upper[i])
            if not fabs(trial[i] - p[i]) * sqrt(a[9 * i]) < reach:
                small = False
        if small:  # the model would not change visibly: no need to evaluate it again
            for i in range(n_par):
                p[i] = trial[i]
            status = 0
            break
        if n_par == 6:
            accumulate_6(
                x, y, c, e, n, trial, middle, gain, v0, rel2, weight, turn > REWEIGHT, new_weight,
                new_a, new_b, &after, &own)
        else:
            accumulate_8(
                x, y, c, e, n, trial, middle, gain, v0, rel2, weight, turn > REWEIGHT, new_weight,
                new_a, new_b, &after, &own)
        if not after <= before * (1.0 + 1e-9):
            damping = max(10.0 * damping, 1e-3)
            if damping > 1e8:
                break
            continue
        for i in range(n_par):
            p[i] = trial[i]
        memcpy(a, new_a, sizeof(a))
        memcpy(b, new_b, sizeof(b))
        swap = weight
        weight = new_weight
        new_weight = swap
        damping = 0.1 * damping if damping > 1e-7 else 0.0
        before = own
    chi2[0] = before
    iterations[0] = turn
    k = gather(a, b, p, lower, upper, n_par, index, scale)
    standard_errors(a, index, scale, k, n_par, sigma)
    if status == 0 and not isfinite(sigma[0]):
        status = 4
    return status


def fit_ring_peaks(
    const double[::1] x,               # IN (m) [rad]
    const double[::1] counts,          # IN (m)
    const double[::1] response,        # IN (m)
    const long long[::1] offsets,      # IN (b + 1)
    const double[:, ::1] expected,     # IN (b, 2) [rad] second NaN for a single ring
    const double[:, ::1] windows,      # IN (b, 2) [rad]
    const double[::1] width,           # IN (b) [rad]
    double gain=1.0,
    double variance_floor=0.0,
    double relative_noise=0.0,
    double step_tolerance=1e-6,
    const double[::1] extra=None,     # IN (m)
    int threads=1,
):
    """Return parameters, sigma (b, 8), chi2, iterations, status (b); see the definition."""
    cdef Py_ssize_t n = offsets.shape[0] - 1, b, longest = 0
    cdef double* work
    parameters = np.empty((n, 8))
    sigma = np.empty((n, 8))
    chi2 = np.empty(n)
    iterations = np.empty(n, dtype=np.int64)
    status = np.empty(n, dtype=np.int64)
    cdef double[:, ::1] pa = parameters, si = sigma
    cdef double[::1] ch = chi2
    cdef long long[::1] it = iterations, st = status
    if n == 0:
        return parameters, sigma, chi2, iterations, status
    cdef const double* xs = &x[0] if x.shape[0] else NULL
    cdef const double* ys = &counts[0] if x.shape[0] else NULL
    cdef const double* cs = &response[0] if x.shape[0] else NULL
    cdef const double* es = &extra[0] if extra is not None and x.shape[0] else NULL
    for b in range(n):
        longest = max(longest, offsets[b + 1] - offsets[b])
    with nogil, parallel(num_threads=threads):
        work = <double*> malloc(2 * (longest + 8) * sizeof(double))
        for b in prange(n, schedule="dynamic", chunksize=16):
            st[b] = fit_one(
                xs + offsets[b], ys + offsets[b], cs + offsets[b],
                es + offsets[b] if es != NULL else NULL, offsets[b + 1] - offsets[b],
                &expected[b, 0], windows[b, 0], windows[b, 1], width[b], gain, variance_floor,
                relative_noise * relative_noise, step_tolerance, work,
                &pa[b, 0], &si[b, 0], &ch[b], &it[b],
            )
        free(work)
    return parameters, sigma, chi2, iterations, status
