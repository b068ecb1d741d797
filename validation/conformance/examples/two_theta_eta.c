/* Scattering angle and azimuth of pixels, held to refimpl:
 *   cc -O2 two_theta_eta.c -lm -o mycode
 *   refimpl conform --format txt --only two_theta_eta --command "./mycode {input} {output}"   */
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FAST, SLOW, LSD, BEAM_F, BEAM_S, TX, TY, TZ, SIZE_F, SIZE_S, NAMES };
static const char *name[NAMES] = {"fast_px", "slow_px", "lsd_mm", "beam_fast_px", "beam_slow_px",
    "tx_rad", "ty_rad", "tz_rad", "pixel_fast_mm", "pixel_slow_mm"};
static double in[NAMES][1000], two_theta[1000], eta[1000];

static void code_under_test(int n)
{
    for (int i = 0; i < n; i++) {
        double x = 0, y = -(in[FAST][i] - *in[BEAM_F]) * *in[SIZE_F];
        double z = (in[SLOW][i] - *in[BEAM_S]) * *in[SIZE_S], old;
        old = x, x = cos(*in[TZ]) * x - sin(*in[TZ]) * y, y = sin(*in[TZ]) * old + cos(*in[TZ]) * y;
        old = z, z = cos(*in[TY]) * z - sin(*in[TY]) * x, x = sin(*in[TY]) * old + cos(*in[TY]) * x;
        old = y, y = cos(*in[TX]) * y - sin(*in[TX]) * z, z = sin(*in[TX]) * old + cos(*in[TX]) * z;
        two_theta[i] = atan2(hypot(y, z), *in[LSD] + x);
        eta[i] = atan2(-y, z);
    }
}

int main(int argc, char **argv)
{
    char word[99], quantity[99], id[99] = "";
    int version, rank, n = 0, last = 0;
    FILE *from = fopen(argv[1], "r"), *to = fopen(argv[argc - 1], "w");
    if (!from || !to || fscanf(from, "%98s %d %98s", word, &version, quantity) != 3) return 1;
    if (strcmp(quantity, "two_theta_eta")) return 77; /* not offered */
    while (!last) {
        last = fscanf(from, "%98s", word) != 1;
        if (last || !strcmp(word, "case")) {
            if (*id) { /* the case before is whole */
                code_under_test(n);
                fprintf(to, "case %s\ntwo_theta_rad 1 %d", id, n);
                for (int i = 0; i < n; i++) fprintf(to, " %.17g", two_theta[i]);
                fprintf(to, "\neta_rad 1 %d", n);
                for (int i = 0; i < n; i++) fprintf(to, " %.17g", eta[i]);
                fprintf(to, "\n");
            }
            if (!last && fscanf(from, "%98s", id) != 1) return 1;
            continue;
        }
        int k = 0, length = 1;
        while (k < NAMES && strcmp(word, name[k])) k++;
        if (k == NAMES || fscanf(from, "%d", &rank) != 1) return 1;
        if (rank && (fscanf(from, "%d", &length) != 1 || length > 1000)) return 1;
        if (k == FAST) n = length;
        for (int i = 0; i < length; i++) if (fscanf(from, "%lf", &in[k][i]) != 1) return 1;
    }
    return fclose(to) != 0;
}
