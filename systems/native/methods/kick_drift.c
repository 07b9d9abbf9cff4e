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

int run(long trajectories, long intervals, long columns, const real *q0, const real *p0, const real *values,
        const int *ends, const real *times, const long *counts, const real *lengths, const real *coefficients, real *q, real *p,
        signed char *status) {
  edges = ends;
  const real *kicks = coefficients, *drifts = coefficients + STAGES + 1;
  Block b = new_block(2 * SIZE);
  if (!b.q) return 1;
  real *f = b.more, *u = f + SIZE * LANES;
  for (long first = 0; first < trajectories; first += TOGETHER) {
    const long here = trajectories - first < TOGETHER ? trajectories - first : TOGETHER;
    enter(b, first, here, q0, p0, values);
    leave(b, first, here, q, p);
    force(b.q, b.c, f);
    for (long t = 0; t < intervals; t++) {
      long count[LANES];
      real length[LANES], kick_by[STAGES + 1][LANES], drift_by[STAGES][LANES];
      const long most = substeps(t, first, here, columns, counts, lengths, count, length);
      for (long step = 0; step < most; step++) {
        /* A lane that has arrived takes steps of length zero, which change nothing. */
        int changed = step == 0;
        for (int w = 0; w < LANES; w++)
          if (step == count[w]) length[w] = 0, changed = 1;
        if (changed)
          for (int w = 0; w < LANES; w++) {
            for (int s = 0; s <= STAGES; s++) kick_by[s][w] = kicks[s] * length[w];
            for (int s = 0; s < STAGES; s++) drift_by[s][w] = drifts[s] * length[w];
          }
        kick(b, kick_by[0], f);
        for (int s = 0; s < STAGES; s++) {
          velocity(b.p, b.c, u);
          drift(b, drift_by[s], u);
          force(b.q, b.c, f);
          kick(b, kick_by[s + 1], f);
        }
      }
      leave(b, (t + 1) * trajectories + first, here, q, p);
    }
  }
  free(b.q);
  return 0;
}
