/* The gradient of a trajectory of kick_drift.c, interval after interval from the last one. The steps of an interval are
   taken again from its start: of about the root of their number the states are kept, then those of each stage of the
   steps from one such state to the next. */

static void force_backwards(Block b, Bar bar, const real *restrict q) {
  force_back(q, b.c, bar.pull, bar.out);
  accumulate(bar.q, bar.out, SIZE * LANES);
  accumulate(bar.values, bar.out + SIZE * LANES, KEPT * LANES);
}

/* to += h x, or with a fresh start = h x. */
static void scaled(real *restrict to, const real *restrict h, const real *restrict x, int fresh) {
  for (int k = 0; k < SIZE; k++)
    _Pragma("omp simd")
    for (int w = 0; w < LANES; w++) to[k * LANES + w] = (fresh ? 0 : to[k * LANES + w]) + h[w] * x[k * LANES + w];
}

int back(long from, long to, long trajectories, long intervals, long columns, const real *q, const real *p, const real *values,
         const real *times, const long *counts, const real *lengths, const real *coefficients, const real *of_q,
         const real *of_p, real *bar_q, real *bar_p, real *bar_values) {
  const long apart = kept_apart(intervals * columns, counts);
  const size_t both = 2 * SIZE * LANES, whole = 4 * SIZE * LANES;
  Block b = new_block(2 * SIZE);
  real *memory = workspace(LANES * (4 * SIZE + 2 * KEPT + VALUES) + apart * STAGES * both + (apart + 1) * whole);
  if (!b.q || !memory) {
    free(b.q);
    free(memory);
    return 1;
  }
  real *f = b.more, *u = f + SIZE * LANES;
  Bar bar = {memory, memory + SIZE * LANES, memory + 2 * SIZE * LANES, memory + 3 * SIZE * LANES};
  bar.out = bar.values + KEPT * LANES;
  real *stages = bar.out + (SIZE + (KEPT > VALUES ? KEPT : VALUES)) * LANES, *starts = stages + apart * STAGES * both;
  real *by = bar.out;
  for (long first = from; first < to; first += TOGETHER) {
    const long here = to - first < TOGETHER ? to - first : TOGETHER;
    memset(bar.q, 0, (3 * SIZE + KEPT) * LANES * sizeof(real));
    for (long t = intervals - 1; t >= 0; t--) {
      const long place = t * trajectories + first;
      enter(b, 0, here, q + place * ENTRIES, p + place * ENTRIES, values + first * GIVEN);
      gather(bar, place + trajectories, here, of_q, of_p);
      long count[LANES];
      real length[LANES], kick_by[STAGES + 1][LANES], drift_by[STAGES][LANES];
      const long most = substeps(t, first, here, columns, counts, lengths, count, length);
      force(b.q, b.c, f);
      for (long k = 0; k < most; k++) {
        if (k % apart == 0) memcpy(starts + k / apart * whole, b.q, whole * sizeof(real));
        if (k < (most - 1) / apart * apart) {
          portions(coefficients, k, count, length, kick_by, drift_by);
          step(b, kick_by, drift_by, f, u, 0);
        }
      }
      for (long start = (most - 1) / apart * apart; start >= 0; start -= apart) {
        const long stop = start + apart < most ? start + apart : most;
        memcpy(b.q, starts + start / apart * whole, whole * sizeof(real));
        force(b.q, b.c, f);
        for (long k = start; k < stop; k++) {
          portions(coefficients, k, count, length, kick_by, drift_by);
          step(b, kick_by, drift_by, f, u, stages + (k - start) * STAGES * both);
        }
        for (long k = stop - 1; k >= start; k--) {
          portions(coefficients, k, count, length, kick_by, drift_by);
          for (int s = STAGES - 1; s >= 0; s--) {
            const real *state = stages + ((k - start) * STAGES + s) * both;
            scaled(bar.pull, kick_by[s + 1], bar.p, s < STAGES - 1);
            force_backwards(b, bar, state);
            scaled(bar.pull, drift_by[s], bar.q, 1);
            velocity_back(state + SIZE * LANES, b.c, bar.pull, by);
            accumulate(bar.p, by, SIZE * LANES);
            accumulate(bar.values, by + SIZE * LANES, KEPT * LANES);
          }
          scaled(bar.pull, kick_by[0], bar.p, 1); /* at the same positions as the last kick of the step before */
        }
      }
    }
    enter(b, first, here, q, p, values);
    force_backwards(b, bar, b.q);
    gather(bar, first, here, of_q, of_p);
    finish(b, bar, first, here, bar_q, bar_p, bar_values);
  }
  free(b.q);
  free(memory);
  return 0;
}
