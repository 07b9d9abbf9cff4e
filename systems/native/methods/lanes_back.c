/* The derivatives of trajectories side by side, as lanes.c has these. */

typedef struct {
  real *q, *p, *pull, *values, *out; /* derivatives by the state, by a force or derivative, and by what is fixed */
} Bar;

static void gather(Bar bar, long row, long here, const real *q, const real *p) {
  for (int w = 0; w < here; w++)
    for (long e = 0; e < ENTRIES; e++) {
      bar.q[AT(e, w)] += q[(row + w) * ENTRIES + e];
      bar.p[AT(e, w)] += p[(row + w) * ENTRIES + e];
    }
}

/* The derivatives by the first state and by the values. */
static void finish(Block b, Bar bar, long first, long here, real *bar_q, real *bar_p, real *bar_values) {
  prepare_back(b.values, bar.values, bar.out);
  for (int w = 0; w < here; w++) {
    for (long e = 0; e < ENTRIES; e++) {
      bar_q[(first + w) * ENTRIES + e] = bar.q[AT(e, w)];
      bar_p[(first + w) * ENTRIES + e] = bar.p[AT(e, w)];
    }
    for (long k = 0; k < GIVEN; k++) bar_values[(first + w) * GIVEN + k] = bar.out[k * LANES + w];
  }
}
