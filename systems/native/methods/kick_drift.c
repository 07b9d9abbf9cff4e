/* Kicks p += b h F(q) and drifts q += a h v(p) by turns, as systems/integrators/kick_drift.py. */

static void kick(Block b, const real *restrict h, const real *restrict f) {
  for (int k = 0; k < SIZE; k++) {
    _Pragma("omp simd")
    for (int w = 0; w < LANES; w++) add(b.p + k * LANES + w, b.lost_p + k * LANES + w, h[w] * f[k * LANES + w]);
  }
}

static void drift(Block b, const real *restrict h, const real *restrict u) {
  for (int k = 0; k < SIZE; k++) {
    _Pragma("omp simd")
    for (int w = 0; w < LANES; w++) add(b.q + k * LANES + w, b.lost_q + k * LANES + w, h[w] * u[k * LANES + w]);
  }
}

/* Kicks and drifts of step k for each lane: one that has arrived takes steps of length zero, which change nothing. */
static void portions(const real *coefficients, long k, const long *count, const real *length, real kick_by[][LANES],
                     real drift_by[][LANES]) {
  const real *kicks = coefficients, *drifts = coefficients + STAGES + 1;
  for (int w = 0; w < LANES; w++) {
    const real h = k < count[w] ? length[w] : 0;
    for (int s = 0; s <= STAGES; s++) kick_by[s][w] = kicks[s] * h;
    for (int s = 0; s < STAGES; s++) drift_by[s][w] = drifts[s] * h;
  }
}

/* One step; f is the force at its start, then at its end. To `kept`, if there is one: q after and p before each drift. */
static inline __attribute__((always_inline)) void step(Block b, real kick_by[][LANES], real drift_by[][LANES],
                                                       real *restrict f, real *restrict u, real *kept) {
  const size_t size = SIZE * LANES;
  kick(b, kick_by[0], f);
  for (int s = 0; s < STAGES; s++) {
    if (kept) memcpy(kept + (2 * s + 1) * size, b.p, size * sizeof(real));
    velocity(b.p, b.c, u);
    drift(b, drift_by[s], u);
    if (kept) memcpy(kept + 2 * s * size, b.q, size * sizeof(real));
    force(b.q, b.c, f);
    kick(b, kick_by[s + 1], f);
  }
}

int run(long from, long to, long trajectories, long intervals, long columns, const real *q0, const real *p0, const real *values,
        const int *ends, const real *times, const long *counts, const real *lengths, const real *coefficients, real *q, real *p,
        signed char *status) {
  edges = ends;
  Block b = new_block(2 * SIZE);
  if (!b.q) return 1;
  real *f = b.more, *u = f + SIZE * LANES;
  for (long first = from; first < to; first += TOGETHER) {
    const long here = to - first < TOGETHER ? to - first : TOGETHER;
    enter(b, first, here, q0, p0, values);
    leave(b, first, here, q, p);
    force(b.q, b.c, f);
    for (long t = 0; t < intervals; t++) {
      long count[LANES];
      real length[LANES], kick_by[STAGES + 1][LANES], drift_by[STAGES][LANES];
      const long most = substeps(t, first, here, columns, counts, lengths, count, length);
      for (long k = 0; k < most; k++) {
        int changed = k == 0;
        for (int w = 0; w < LANES; w++) changed |= k == count[w];
        if (changed) portions(coefficients, k, count, length, kick_by, drift_by);
        step(b, kick_by, drift_by, f, u, 0);
      }
      leave(b, (t + 1) * trajectories + first, here, q, p);
    }
  }
  free(b.q);
  return 0;
}
