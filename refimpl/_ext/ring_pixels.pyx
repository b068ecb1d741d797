"""Twin of refimpl/imaging/ring_pixels.py: sweeps over rows to count and to fill, then a sort."""

import numpy as np

from cython.parallel cimport prange
from libc.math cimport M_PI, atan, cos, fabs, floor, sin, sqrt
from libc.stdlib cimport free

from refimpl._ext.tilted_flat cimport Surface, one_point, tilt, turns


cdef inline double quick_radius(double f, double s, const double* g, Surface* u) noexcept nogil:
    """Radius without panel correction, distortion or parallax: no trigonometry."""
    cdef double y = -(f - g[1]) * g[6], z = (s - g[2]) * g[7]
    cdef double vy = u.t[1][1] * y + u.t[1][2] * z, vz = u.t[2][1] * y + u.t[2][2] * z
    cdef double big_x = g[0] + u.t[0][1] * y + u.t[0][2] * z
    return g[0] / big_x * sqrt(vy * vy + vz * vz) if big_x > 0.0 else -1.0


cdef double largest_move(
    const double[::1] g, const double[:, ::1] corrections, double edge
) noexcept nogil:
    """Bound [mm] on what distortion, parallax and panel corrections do to the radius."""
    cdef double rho = edge / g[8], total = 0.0, size = max(g[6], g[7]), more = 0.0, d
    cdef double top = max(rho * rho, rho * rho * rho * rho * rho * rho)
    cdef Py_ssize_t i
    for i in range(10, 25):
        total += fabs(g[i]) * top
    for i in range(corrections.shape[0]):
        d = fabs(corrections[i, 6]) * top * edge + fabs(corrections[i, 5]) / g[0] * edge
        d += size * (fabs(corrections[i, 2]) + fabs(corrections[i, 3]))
        # a panel may be turned about its own centre, never farther from it than the edge
        d += fabs(corrections[i, 4]) * edge
        # a tilt by t lifts the panel by t times that distance at most, and shrinks it by t^2/2
        d += (fabs(corrections[i, 7]) + fabs(corrections[i, 8])) * edge * (edge / g[0] + 1e-2)
        more = max(more, d)
    return total * edge + fabs(g[9]) + more + size


cdef inline Py_ssize_t find_window(double radius, const double[:, ::1] windows) noexcept nogil:
    """Group whose window holds the radius, or -1."""
    cdef Py_ssize_t low = 0, high = windows.shape[0], middle
    while low < high:
        middle = (low + high) // 2
        if windows[middle, 0] <= radius:
            low = middle + 1
        else:
            high = middle
    if low > 0 and radius < windows[low - 1, 1]:
        return low - 1
    return -1


cdef inline bint near_window(
    double quick, double margin, const double[:, ::1] windows
) noexcept nogil:
    cdef Py_ssize_t low = 0, high = windows.shape[0], middle
    while low < high:  # first window that ends beyond quick - margin
        middle = (low + high) // 2
        if windows[middle, 1] < quick - margin:
            low = middle + 1
        else:
            high = middle
    return low < windows.shape[0] and windows[low, 0] <= quick + margin


cdef Py_ssize_t sweep_row(
    Py_ssize_t row, const unsigned char[:, ::1] usable, const short[:, ::1] panel_map,
    const double* g, const double[:, ::1] corrections, const double* turn, Surface* u,
    const double[:, ::1] windows, const unsigned char[::1] near, double scale,
    Py_ssize_t n_eta, Py_ssize_t n_panels, double polarisation,
    long long* bins, long long* pixel, double* two_theta, double* eta_out, double* response,
) noexcept nogil:
    """Write the selected pixels of one row; return how many."""
    cdef Py_ssize_t column, count = 0, group, k, last = near.shape[0] - 1
    cdef double radius, eta, ce, se, around, along, pull, y, z, vx, vy, vz, d2, ratio, solid, cos2
    cdef double quick
    cdef int panel
    cdef bint corrected = corrections.shape[0] > 0
    for column in range(usable.shape[1]):
        if usable[row, column] == 0:
            continue
        panel = panel_map[row, column]
        if panel < 0:
            continue
        # behind the sample by the quick formula: a correction may bring it to the front
        quick = quick_radius(column + 0.5, row + 0.5, g, u)
        if quick >= 0.0 and near[<Py_ssize_t> min(quick * scale, <double> last)] == 0:
            continue
        one_point(
            column + 0.5, row + 0.5,
            &corrections[panel, 0] if corrected else NULL,
            turn + 6 * panel if corrected else NULL,
            g, u, &radius, &eta, NULL, NULL,
        )
        ce = cos(eta)
        se = sin(eta)
        around = (g[6] * ce) * (g[6] * ce) + (g[7] * se) * (g[7] * se)
        along = (g[6] * se) * (g[6] * se) + (g[7] * ce) * (g[7] * ce)
        pull = along * radius / (3.0 * (g[0] * g[0] + radius * radius))
        radius = radius + (around / (24.0 * radius) - pull)
        group = find_window(radius, windows)
        if group < 0:
            continue
        k = <Py_ssize_t> floor((eta + M_PI) * (n_eta / (2.0 * M_PI))) % n_eta
        bins[count] = (group * n_eta + k) * n_panels + panel
        pixel[count] = row * usable.shape[1] + column
        two_theta[count] = atan(radius / g[0])
        eta_out[count] = eta
        y = -(column + 0.5 - g[1]) * g[6]
        z = (row + 0.5 - g[2]) * g[7]
        vx = u.t[0][1] * y + u.t[0][2] * z
        vy = u.t[1][1] * y + u.t[1][2] * z
        vz = u.t[2][1] * y + u.t[2][2] * z
        d2 = (g[0] + vx) * (g[0] + vx) + vy * vy + vz * vz
        ratio = g[0] / sqrt(d2)
        solid = ratio * ratio * ratio
        if polarisation <= 1.0:
            cos2 = cos(two_theta[count])
            cos2 = cos2 * cos2
            solid = solid * (
                0.5 * (1.0 + cos2 + polarisation * cos(2.0 * eta) * (1.0 - cos2))
            )
        response[count] = solid
        count += 1
    return count


def ring_pixels(
    const unsigned char[:, ::1] usable,   # IN (s, f)
    const short[:, ::1] panel_map,        # IN (s, f)
    const double[::1] geometry,           # IN (25)
    const double[:, ::1] corrections,     # IN (p, 9)
    const double[:, ::1] windows_mm,      # IN (g, 2) [mm]
    Py_ssize_t n_eta,
    Py_ssize_t n_panels,
    double polarisation,
    int threads=1,
):
    """Return bin_id, offsets, pixel, two_theta, eta, response; see the definition."""
    cdef Py_ssize_t n_slow = usable.shape[0], n_fast = usable.shape[1], row, i, n = 0, b, k
    cdef const double* g = &geometry[0]
    cdef Surface u
    cdef double* turn = turns(corrections)
    cdef double edge = 0.0, margin, scale, step, quick
    cdef bint ahead = True
    tilt(g[3], g[4], g[5], &u)
    for row in (0, n_slow):
        for i in (0, n_fast):
            quick = quick_radius(i, row, g, &u)
            ahead = ahead and quick >= 0.0
            edge = max(edge, quick)
    if edge > 100.0 * g[0]:  # almost behind it: no bound on the radius is of use
        ahead = False
    if not ahead:
        edge = 0.0
    if windows_mm.shape[0]:  # behind the sample a corner has no radius, but windows are finite
        edge = max(edge, windows_mm[windows_mm.shape[0] - 1, 1] * 1.5)
    margin = largest_move(geometry, corrections, edge)
    # which quick radii can end up in a window, as a table in steps of half a pixel
    step = 0.5 * min(g[6], g[7])
    scale = 1.0 / step
    cdef Py_ssize_t n_table = <Py_ssize_t> ((edge + 2.0 * margin) * scale) + 2
    table = np.zeros(n_table, dtype=np.uint8)
    cdef unsigned char[::1] near = table
    for i in range(n_table - 1):
        near[i] = not ahead or near_window((i + 0.5) * step, margin + step, windows_mm)
    near[n_table - 1] = not ahead
    # a row's pixels go to the row's own part of the work arrays: one writer an element
    counts = np.zeros(n_slow, dtype=np.int64)
    starts = np.zeros(n_slow + 1, dtype=np.int64)
    cdef long long[::1] count = counts, start = starts
    for row in prange(n_slow, nogil=True, num_threads=threads, schedule="dynamic", chunksize=16):
        count[row] = candidates(row, usable, panel_map, g, &u, near, scale)
    np.cumsum(counts, out=starts[1:])
    n = starts[n_slow]
    work_bins = np.empty(n + 1, dtype=np.int64)
    work_pixel = np.empty(n + 1, dtype=np.int64)
    work = np.empty((3, n + 1))
    cdef long long[::1] wb = work_bins, wp = work_pixel
    cdef double[:, ::1] wd = work
    for row in prange(n_slow, nogil=True, num_threads=threads, schedule="dynamic", chunksize=16):
        count[row] = sweep_row(
            row, usable, panel_map, g, corrections, turn, &u, windows_mm, near, scale,
            n_eta, n_panels, polarisation,
            &wb[start[row]], &wp[start[row]], &wd[0, start[row]], &wd[1, start[row]],
            &wd[2, start[row]],
        )
    free(turn)
    # counting sort by bin, in row order: stable
    cdef Py_ssize_t n_bins = windows_mm.shape[0] * n_eta * n_panels
    histogram = np.zeros(n_bins + 1, dtype=np.int64)
    cdef long long[::1] h = histogram
    for row in range(n_slow):
        for i in range(start[row], start[row] + count[row]):
            h[wb[i] + 1] += 1
    n = 0
    for b in range(n_bins):
        if h[b + 1] > 0:
            n += 1
    bin_id = np.empty(n, dtype=np.int64)
    offsets = np.zeros(n + 1, dtype=np.int64)
    cdef long long[::1] ids = bin_id, off = offsets
    k = 0
    for b in range(n_bins):
        if h[b + 1] > 0:
            ids[k] = b
            off[k + 1] = off[k] + h[b + 1]
            h[b + 1] = off[k]  # from now on: where the next pixel of the bin goes
            k += 1
    cdef Py_ssize_t total = off[n], to
    pixel = np.empty(total, dtype=np.int64)
    two_theta = np.empty(total)
    eta = np.empty(total)
    response = np.empty(total)
    cdef long long[::1] px = pixel
    cdef double[::1] tt = two_theta, et = eta, re = response
    for row in range(n_slow):
        for i in range(start[row], start[row] + count[row]):
            to = h[wb[i] + 1]
            h[wb[i] + 1] += 1
            px[to] = wp[i]
            tt[to] = wd[0, i]
            et[to] = wd[1, i]
            re[to] = wd[2, i]
    return bin_id, offsets, pixel, two_theta, eta, response


cdef Py_ssize_t candidates(
    Py_ssize_t row, const unsigned char[:, ::1] usable, const short[:, ::1] panel_map,
    const double* g, Surface* u, const unsigned char[::1] near, double scale
) noexcept nogil:
    """How many pixels of the row may lie in a window."""
    cdef Py_ssize_t column, count = 0, last = near.shape[0] - 1
    cdef double quick
    for column in range(usable.shape[1]):
        if usable[row, column] == 0 or panel_map[row, column] < 0:
            continue
        quick = quick_radius(column + 0.5, row + 0.5, g, u)
        if quick < 0.0 or near[<Py_ssize_t> min(quick * scale, <double> last)]:
            count += 1
    return count
