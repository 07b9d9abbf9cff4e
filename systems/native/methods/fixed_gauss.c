/* Gauss methods with fixed steps, as systems/integrators/gauss.py. */

int run(long from, long to, long trajectories, long intervals, long columns, const real *q0, const real *p0, const real *values,
        const int *ends, const real *times, const long *counts, const real *lengths, const real *coefficients, real *q, real *p,
        signed char *status) {
  edges = ends;
  const Tableau a = tableau(coefficients);
  Gauss g = new_gauss();
  if (!g.q) return 1;
  for (long row = from; row < to; row++) {
    const long column = columns > 1 ? row : 0;
    begin(&g, q0 + row * ENTRIES, p0 + row * ENTRIES, values + row * GIVEN, times[column]);
    put(q, g.q, row);
    put(p, g.p, row);
    for (long interval = 0; interval < intervals; interval++) {
      const long at = interval * columns + column;
      for (long k = 0; k < counts[at]; k++) {
        if (!solve(&g, a, times[at] + k * lengths[at], lengths[at], SWEEPS)) {
          status[row] = UNSOLVED;
          break;
        }
        advance(&g, a, lengths[at]);
      }
      if (status[row]) {
        blank(q, p, row, trajectories, interval + 1, intervals + 1);
        break;
      }
      put(q, g.q, (interval + 1) * trajectories + row);
      put(p, g.p, (interval + 1) * trajectories + row);
    }
  }
  free(g.q);
  return 0;
}
