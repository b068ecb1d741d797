/* Inner loop of ring_peaks.pyx: model, derivatives and normal equations of one bin.
 *
 * Pixels go in blocks: first model and derivatives of a block, then its sums, each in eight lanes
 * that are added in a fixed order at the end. So the result does not depend on how wide the
 * machine's vectors are, and the compiler may use them without being allowed to reorder anything
 * (-ffp-contract=off).
 */
#ifndef REFIMPL_RING_PEAKS_H
#define REFIMPL_RING_PEAKS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clones.h"

#define LANES 8
#define BLOCK 64
#define LEAST_MODEL 0.1
#define SUM8(v) (((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])))

/* exp(x) for x <= 0 to 1 ulp or so: 2^k times a Taylor polynomial on |r| <= ln2/2. */
REFIMPL_INLINE double exp_of_negative(double x)
{
    const double shift = 6755399441055744.0; /* 1.5 * 2^52: rounds to an integer in the low bits */
    double t, k, r, p;
    int64_t bits, scale;
    x = x < -700.0 ? -700.0 : x;
    t = x * 1.4426950408889634 + shift;
    k = t - shift;
    r = x - k * 0.6931471803691238;      /* ln 2 in two parts, the first with trailing zeros */
    r = r - k * 1.9082149292705877e-10;
    p = 1.6059043836821613e-10;          /* 1/13! */
    p = p * r + 2.08767569878681e-09;
    p = p * r + 2.505210838544172e-08;
    p = p * r + 2.755731922398589e-07;
    p = p * r + 2.7557319223985893e-06;
    p = p * r + 2.48015873015873e-05;
    p = p * r + 1.984126984126984e-04;
    p = p * r + 1.388888888888889e-03;
    p = p * r + 8.333333333333333e-03;
    p = p * r + 4.1666666666666664e-02;
    p = p * r + 1.6666666666666666e-01;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    memcpy(&bits, &t, sizeof bits);
    memcpy(&scale, &p, sizeof scale);
    scale += (int64_t)((uint64_t)bits << 52);
    memcpy(&p, &scale, sizeof p);
    return p;
}

REFIMPL_INLINE double positive(double v) { return v > LEAST_MODEL ? v : LEAST_MODEL; }

/* Sums of one bin at parameters p (6 or 8 of them). e (or NULL): what the model adds that is known.
 *
 * old_weight: weights of the last accepted model, for `after` = sum old_weight (y - m)^2;
 * NULL: use the new ones. new_weight (n rounded up to LANES): weights of this model;
 * `own` = the same sum under them. keep: the new weights are the old ones. */
REFIMPL_INLINE void accumulate(
    const double *x, const double *y, const double *c, const double *e, int64_t n, const double *p, int n_par,
    double middle, double gain, double v0, double rel2, const double *old_weight, int keep, double *new_weight,
    double *a, double *b, double *after, double *own)
{
    double acc[36][LANES], accb[8][LANES], acc2[LANES], acc3[LANES];
    double xs[BLOCK], ys[BLOCK], cs[BLOCK], m[BLOCK], w[BLOCK], wo[BLOCK], es[BLOCK];
    double j[8][BLOCK], wj[BLOCK];
    const double over = 1.0 / p[2], tail = 1.0 - p[3];
    const int n_peaks = n_par == 6 ? 1 : 2;
    int i, k, q, l, g, size, inside;
    int64_t at;
    memset(acc, 0, sizeof acc);
    memset(accb, 0, sizeof accb);
    memset(acc2, 0, sizeof acc2);
    memset(acc3, 0, sizeof acc3);
    for (at = 0; at < n; at += BLOCK) {
        inside = (int)(n - at < BLOCK ? n - at : BLOCK);
        size = (inside + LANES - 1) / LANES * LANES;
        for (l = 0; l < inside; l++) { xs[l] = x[at + l]; ys[l] = y[at + l]; cs[l] = c[at + l]; }
        if (e != NULL) for (l = 0; l < inside; l++) es[l] = e[at + l];
        else for (l = 0; l < inside; l++) es[l] = 0.0;
        for (; l < size; l++) { xs[l] = middle; ys[l] = 0.0; cs[l] = 0.0; es[l] = 0.0; }
        for (l = 0; l < size; l++) {
            m[l] = p[4] + p[5] * (xs[l] - middle) + es[l];
            j[2][l] = 0.0; j[3][l] = 0.0;
            j[4][l] = cs[l]; j[5][l] = cs[l] * (xs[l] - middle);
        }
        for (q = 0; q < n_peaks; q++) {
            const double centre = p[6 * q], height = p[6 * q + 1];
            double *jc = j[6 * q], *jh = j[6 * q + 1];
            for (l = 0; l < size; l++) {
                const double u = (xs[l] - centre) * over, u2 = u * u;
                const double lor = 1.0 / (1.0 + 4.0 * u2);
                const double gau = exp_of_negative(-2.772588722239781 * u2);
                const double shape = p[3] * lor + tail * gau;
                const double bend = p[3] * 8.0 * lor * lor + tail * 5.545177444479562 * gau;
                const double hc = height * cs[l], slope = hc * bend * u;
                m[l] += height * shape;
                jc[l] = slope * over;
                jh[l] = cs[l] * shape;
                j[2][l] += slope * u * over;
                j[3][l] += hc * (lor - gau);
            }
        }
        for (l = 0; l < size; l++) {
            m[l] *= cs[l];
            w[l] = 1.0 / (gain * positive(m[l]) + v0 + rel2 * m[l] * m[l]);
        }
        if (old_weight == NULL) memcpy(wo, w, size * sizeof(double));
        else memcpy(wo, old_weight + at, size * sizeof(double));
        if (keep) memcpy(w, wo, size * sizeof(double));
        memcpy(new_weight + at, w, size * sizeof(double));
        for (l = 0; l < size; l++) m[l] = ys[l] - m[l];
        for (g = 0; g < size; g += LANES)
            for (l = 0; l < LANES; l++) {
                const double r = m[g + l];
                acc2[l] += wo[g + l] * r * r;
                acc3[l] += w[g + l] * r * r;
            }
        k = 0;
        for (i = 0; i < n_par; i++) {
            double s[LANES];
            for (l = 0; l < size; l++) wj[l] = w[l] * j[i][l];
            for (l = 0; l < LANES; l++) s[l] = accb[i][l];
            for (g = 0; g < size; g += LANES) for (l = 0; l < LANES; l++) s[l] += wj[g + l] * m[g + l];
            for (l = 0; l < LANES; l++) accb[i][l] = s[l];
            for (q = 0; q <= i; q++, k++) {
                for (l = 0; l < LANES; l++) s[l] = acc[k][l];
                for (g = 0; g < size; g += LANES)
                    for (l = 0; l < LANES; l++) s[l] += wj[g + l] * j[q][g + l];
                for (l = 0; l < LANES; l++) acc[k][l] = s[l];
            }
        }
    }
    k = 0;
    for (i = 0; i < n_par; i++) {
        b[i] = SUM8(accb[i]);
        for (q = 0; q <= i; q++, k++) {
            const double s = SUM8(acc[k]);
            a[8 * i + q] = s;
            a[8 * q + i] = s;
        }
    }
    *after = SUM8(acc2);
    *own = SUM8(acc3);
}

/* One copy a number of parameters, so that the loops over them unroll. */
static REFIMPL_CLONES void accumulate_6(
    const double *x, const double *y, const double *c, const double *e, int64_t n, const double *p, double middle,
    double gain, double v0, double rel2, const double *old_weight, int keep, double *new_weight, double *a, double *b,
    double *after, double *own)
{
    accumulate(x, y, c, e, n, p, 6, middle, gain, v0, rel2, old_weight, keep, new_weight, a, b, after, own);
}

static REFIMPL_CLONES void accumulate_8(
    const double *x, const double *y, const double *c, const double *e, int64_t n, const double *p, double middle,
    double gain, double v0, double rel2, const double *old_weight, int keep, double *new_weight, double *a, double *b,
    double *after, double *own)
{
    accumulate(x, y, c, e, n, p, 8, middle, gain, v0, rel2, old_weight, keep, new_weight, a, b, after, own);
}

#endif
