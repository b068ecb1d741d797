/* Arithmetic that the near-field twins share, for blocks of reflections or spots at a time: plain
 * loops over arrays that stay in the first cache, so that the compiler uses vectors. Frame and
 * formulas of forward/nearfield_spots.py and forward/nearfield_projection.py.
 */
#ifndef REFIMPL_NEARFIELD_ARITHMETIC_H
#define REFIMPL_NEARFIELD_ARITHMETIC_H

#include <math.h>
#include <stdint.h>

#include "clones.h"

#define BLOCK 64   /* reflections or spots at a time */
#define MOST_PLACES 4  /* CORNERS of nearfield_hits.pxd */

typedef struct { /* both crossings of the sphere, of each reflection of a block */
    double y[BLOCK];      /* of the first; the second is at -y */
    double z[BLOCK];
    double along[BLOCK];  /* of the ray, along the beam */
    double scale[BLOCK];  /* from y, z to the first untilted detector */
    double zl[BLOCK];
    double cos_omega[2][BLOCK];
    double sin_omega[2][BLOCK];
    int64_t seen[BLOCK];  /* 0: never on the sphere, or too near the pole */
    int which[BLOCK];     /* rows of the block that may count, for the caller */
} Crossings;

/* Crossings of reflections first to first + n of orientation u. table (8, h): g x, y, z, sine and
 * cosine of theta, radius of the ring [mm], sine and cosine of 2 theta. */
REFIMPL_CLONES static void cross_sphere(
    const double *u, const double *table, int64_t h, int64_t first, int64_t n, double cos_wedge,
    double sin_wedge, double cos_pole, Crossings *out)
{
    const double *g0 = table + first, *g1 = g0 + h, *g2 = g1 + h;
    const double *sin_theta = g2 + h, *cos_theta = sin_theta + h, *radius = cos_theta + h;
    const double u0 = u[0], u1 = u[1], u2 = u[2], u3 = u[3], u4 = u[4], u5 = u[5];
    const double u6 = u[6], u7 = u[7], u8 = u[8];
    int64_t i;
    for (i = 0; i < n; i++) {
        const double gx = u0 * g0[i] + u1 * g1[i] + u2 * g2[i];
        const double gy = u3 * g0[i] + u4 * g1[i] + u5 * g2[i];
        const double gz = u6 * g0[i] + u7 * g1[i] + u8 * g2[i];
        const double length = sqrt(gx * gx + gy * gy + gz * gz);
        const double v = sin_theta[i] * length, along = cos_theta[i] * length;
        const double need = (v - sin_wedge * gz) / cos_wedge;
        const double z = cos_wedge * gz - sin_wedge * need;
        const double scale = radius[i] / along;
        const double rho2 = gx * gx + gy * gy, rest = rho2 - need * need;
        const double lead = fabs(gy) < 1e-12 ? gx : gy; /* ON_AXIS of the definition */
        const double root = sqrt(rest), y = lead < 0.0 ? -root : root;
        out->y[i] = y;
        out->z[i] = z;
        out->along[i] = along;
        out->scale[i] = scale;
        out->zl[i] = scale * z;
        out->cos_omega[0][i] = (y * gy - need * gx) / rho2;
        out->sin_omega[0][i] = (y * gx + need * gy) / rho2;
        out->cos_omega[1][i] = (-y * gy - need * gx) / rho2;
        out->sin_omega[1][i] = (-y * gx + need * gy) / rho2;
        out->seen[i] = (fabs(z) <= cos_pole * along) & (rho2 > 0.0) & (rest >= 0.0);
    }
}

typedef struct { /* the first distance */
    double r[9];
    double p0[3];
    double lsd;
    double bcy;
    double bcz;
    double per_mm;
    double cos_wedge; /* of the sample's place: 1 and 0 for the published wedge */
    double sin_wedge;
} View;

/* Formula 4: pixels of a place on the untilted first detector, of a spot of the origin. */
REFIMPL_INLINE void on_tilted(const View *w, double y, double z, double *y_px, double *z_px)
{
    const double q0 = w->r[1] * y + w->r[2] * z - w->p0[0];
    const double q1 = w->r[4] * y + w->r[5] * z - w->p0[1];
    const double q2 = w->r[7] * y + w->r[8] * z - w->p0[2];
    const double f = w->p0[0] / q0;
    *y_px = (w->p0[1] - q1 * f) * w->per_mm + w->bcy;
    *z_px = (w->p0[2] - q2 * f) * w->per_mm + w->bcz;
}

/* Formulas 3 and 4: where the first detector sees a spot of the point (a, b). */
REFIMPL_INLINE void project(
    const View *w, double yl, double zl, double c, double s, double a, double b, double *y_px,
    double *z_px)
{
    const double xa = a * c - b * s, ya = a * s + b * c;
    const double x = w->cos_wedge * xa, t = 1.0 - x / w->lsd;
    on_tilted(w, ya + yl * t, w->sin_wedge * xa + zl * t, y_px, z_px);
}

/* project() of n spots from one point. */
REFIMPL_CLONES static void project_spots(
    const View *view, const double *yl, const double *zl, const double *c, const double *s,
    int64_t n, double a, double b, double *y_px, double *z_px)
{
    const View w = *view;
    int64_t i;
    for (i = 0; i < n; i++)
        project(&w, yl[i], zl[i], c[i], s[i], a, b, y_px + i, z_px + i);
}

/* on_tilted() of n spots. */
REFIMPL_CLONES static void tilt_spots(
    const View *view, const double *yl, const double *zl, int64_t n, double *y_px, double *z_px)
{
    const View w = *view;
    int64_t i;
    for (i = 0; i < n; i++)
        on_tilted(&w, yl[i], zl[i], y_px + i, z_px + i);
}

/* Frames of n angles, as doubles: -1 outside the scan. */
REFIMPL_CLONES static void frames_of(
    const double *omega, int64_t n, double start, double step, double frames, double *frame)
{
    int64_t i;
    for (i = 0; i < n; i++) {
        const double f = floor((omega[i] - start) / step);
        frame[i] = (f >= 0.0) & (f < frames) ? f : -1.0;
    }
}

typedef struct { /* spots of a voxel within the scan, and where the first distance sees them */
    double yl[BLOCK];
    double zl[BLOCK];
    double cos_omega[BLOCK];
    double sin_omega[BLOCK];
    double frame[BLOCK];
    double yc[BLOCK]; /* of the spot of the origin */
    double zc[BLOCK];
    double y[MOST_PLACES][BLOCK];
    double z[MOST_PLACES][BLOCK];
    double oy[BLOCK]; /* mean of the corners from there, whole pixels */
    double oz[BLOCK];
    int64_t near[BLOCK]; /* 0: a place is NaN or farther out than FAR_PX of the definition */
    int64_t one[BLOCK];  /* whether the first distance sees the pixel of the mean */
} Places;

/* Nearest whole number, halves away from zero. */
REFIMPL_INLINE double away(double x)
{
    const double whole = trunc(x);
    return whole + (fabs(x - whole) >= 0.5 ? copysign(1.0, x) : 0.0);
}

/* Everything of `places` from yc on, of n spots; corner (k, 2), ny and nz pixels. */
REFIMPL_CLONES static void place_spots(
    const View *view, const double *corner, int k, double ny, double nz, int64_t n, Places *p)
{
    const View w = *view;
    const double limit = 1e8;
    int64_t i;
    int j;
    for (i = 0; i < n; i++) {
        on_tilted(&w, p->yl[i], p->zl[i], &p->yc[i], &p->zc[i]);
        p->near[i] = (fabs(p->yc[i]) < limit) & (fabs(p->zc[i]) < limit);
        p->oy[i] = 0.0;
        p->oz[i] = 0.0;
    }
    for (j = 0; j < k; j++) {
        const double a = corner[2 * j], b = corner[2 * j + 1];
        double *y = p->y[j], *z = p->z[j];
        for (i = 0; i < n; i++) {
            project(&w, p->yl[i], p->zl[i], p->cos_omega[i], p->sin_omega[i], a, b, y + i, z + i);
            p->near[i] &= (fabs(y[i]) < limit) & (fabs(z[i]) < limit);
            p->oy[i] = p->oy[i] + (y[i] - p->yc[i]);
            p->oz[i] = p->oz[i] + (z[i] - p->zc[i]);
        }
    }
    for (i = 0; i < n; i++) {
        double y = (p->yc[i] - w.bcy) + w.bcy, z = (p->zc[i] - w.bcz) + w.bcz;
        p->oy[i] = away(p->oy[i] / k);
        p->oz[i] = away(p->oz[i] / k);
        y = floor(y) + p->oy[i];
        z = floor(z) + p->oz[i];
        p->one[i] = (y >= 0.0) & (y < ny) & (z >= 0.0) & (z < nz);
    }
}

#endif
