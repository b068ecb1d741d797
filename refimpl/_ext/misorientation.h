/* Inner loops of misorientation.pyx: one block of pairs at a time, plain loops over arrays that
 * stay in the first cache, so that the compiler uses vectors of whatever width the machine has.
 * Each pair's arithmetic is its own (-ffp-contract=off): same bits for every width.
 */
#ifndef REFIMPL_MISORIENTATION_H
#define REFIMPL_MISORIENTATION_H

#include <math.h>
#include <stdint.h>

#include "clones.h"

#define PAIRS 128

typedef struct {
    double w[PAIRS], x[PAIRS], y[PAIRS], z[PAIRS];
} Quaternions;

/* conj(a) b, for n pairs; the rest of the block keeps what it had. */
REFIMPL_INLINE void relative(const double *a, const double *b, int64_t n, Quaternions *r)
{
    int64_t i;
    for (i = 0; i < n; i++) {
        const double aw = a[4 * i], ax = -a[4 * i + 1], ay = -a[4 * i + 2], az = -a[4 * i + 3];
        const double bw = b[4 * i], bx = b[4 * i + 1], by = b[4 * i + 2], bz = b[4 * i + 3];
        r->w[i] = aw * bw - ax * bx - ay * by - az * bz;
        r->x[i] = aw * bx + ax * bw + ay * bz - az * by;
        r->y[i] = aw * by - ax * bz + ay * bw + az * bx;
        r->z[i] = aw * bz + ax * by - ay * bx + az * bw;
    }
}

/* 2 atan2(s, w) for s, w >= 0; NaN at 0, 0. Within 1 ulp or so: a quarter turn in two steps leaves
 * |x| <= tan(pi/8), where (atan(x)/x - 1)/x^2 is a polynomial of degree 10 in x^2 to 5e-18
 * (interpolated at the Chebyshev nodes, in 60 digits). */
REFIMPL_INLINE double twice_atan2(double s, double w)
{
    const int outer = s > 2.414213562373095 * w, middle = s > 0.41421356237309503 * w;
    const double over = outer ? -w : (middle ? s - w : s);
    const double under = outer ? s : (middle ? s + w : w);
    const double base = outer ? 1.5707963267948966 : (middle ? 0.7853981633974483 : 0.0);
    const double x = over / under, t = x * x;
    double p = -0.019176885636589053;
    p = p * t + 0.039231657085083686;
    p = p * t - 0.050854496960392584;
    p = p * t + 0.05858148904795124;
    p = p * t - 0.0666451144646022;
    p = p * t + 0.07692183190760651;
    p = p * t - 0.09090904578121085;
    p = p * t + 0.11111111015256292;
    p = p * t - 0.14285714284666542;
    p = p * t + 0.1999999999999552;
    p = p * t - 0.3333333333333333;
    return 2.0 * (base + (x + x * (t * p)));
}

#define ORDER(a, b) { const double high = a > b ? a : b; b = a > b ? b : a; a = high; }

/* 432, or 23 without the pairs of axes: largest |w| from the sorted components. */
REFIMPL_INLINE void cubic(const Quaternions *r, int64_t n, int fourfolds, double *angle)
{
    const double root = 0.7071067811865476;
    int64_t i;
    for (i = 0; i < n; i++) {
        double a = fabs(r->w[i]), b = fabs(r->x[i]), c = fabs(r->y[i]), d = fabs(r->z[i]);
        double w, s, pair, all, rest, u, v, t;
        const double length = r->w[i] * r->w[i] + r->x[i] * r->x[i] + r->y[i] * r->y[i]
                              + r->z[i] * r->z[i];
        ORDER(a, b) ORDER(c, d) ORDER(a, c) ORDER(b, d) ORDER(b, c)
        rest = c * c + d * d;
        w = a;
        s = b * b + rest;
        pair = (a + b) * root;
        if (fourfolds) {
            u = (a - b) * root;
            u = u * u + rest;
            s = pair > w ? u : s;
            w = pair > w ? pair : w;
        }
        all = 0.5 * ((a + b) + (c + d));
        u = 0.5 * ((a + b) - (c + d));
        v = 0.5 * ((a - b) + (c - d));
        t = 0.5 * ((a - b) - (c - d));
        u = u * u + (v * v + t * t);
        s = all > w ? u : s;
        w = all > w ? all : w;
        angle[i] = twice_atan2(sqrt(s), w) + (length - length) / length; /* 0 or not finite: NaN */
    }
}

/* Any group: the operator of largest |w|, then the product with it. */
REFIMPL_INLINE void general(
    const Quaternions *r, int64_t n, const double *operators, int64_t m, double *angle)
{
    Quaternions best;
    double largest[PAIRS];
    int64_t i, k;
    for (i = 0; i < n; i++) {
        largest[i] = -1.0;
        best.w[i] = 1.0;
        best.x[i] = best.y[i] = best.z[i] = 0.0;
    }
    for (k = 0; k < m; k++) {
        const double sw = operators[4 * k], sx = operators[4 * k + 1];
        const double sy = operators[4 * k + 2], sz = operators[4 * k + 3];
        for (i = 0; i < n; i++) {
            const double w = fabs(r->w[i] * sw - r->x[i] * sx - r->y[i] * sy - r->z[i] * sz);
            const int better = w > largest[i];
            largest[i] = better ? w : largest[i];
            best.w[i] = better ? sw : best.w[i];
            best.x[i] = better ? sx : best.x[i];
            best.y[i] = better ? sy : best.y[i];
            best.z[i] = better ? sz : best.z[i];
        }
    }
    for (i = 0; i < n; i++) {
        const double rw = r->w[i], rx = r->x[i], ry = r->y[i], rz = r->z[i];
        const double sw = best.w[i], sx = best.x[i], sy = best.y[i], sz = best.z[i];
        const double x = rw * sx + rx * sw + ry * sz - rz * sy;
        const double y = rw * sy - rx * sz + ry * sw + rz * sx;
        const double z = rw * sz + rx * sy - ry * sx + rz * sw;
        const double length = rw * rw + rx * rx + ry * ry + rz * rz;
        angle[i] = twice_atan2(sqrt(x * x + y * y + z * z), largest[i]) + (length - length) / length;
    }
}

#define CUBIC_23 1
#define CUBIC_432 2

/* One block of at most PAIRS pairs. */
REFIMPL_CLONES static void angles(
    const double *q1, const double *q2, int64_t n, const double *operators, int64_t m, int kind,
    double *angle)
{
    Quaternions r;
    relative(q1, q2, n, &r);
    if (kind == CUBIC_432)
        cubic(&r, n, 1, angle);
    else if (kind == CUBIC_23)
        cubic(&r, n, 0, angle);
    else
        general(&r, n, operators, m, angle);
}

#endif
