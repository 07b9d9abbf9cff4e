/* The Gauss method that chooses its steps, as systems/integrators/adaptive_gauss.py. */

/* A tenth of the time in which the state would change by its own size. */
static real span(const real *z, const real *k) {
  real rate = 0;
  for (int e = 0; e < SIZE; e++) rate = fabs(k[e * LANES]) > rate ? fabs(k[e * LANES]) : rate;
  const real size = largest(z, SIZE);
  return size > 0 && rate > 0 ? (real)0.1 * size / rate : (real)INFINITY;
}

static real rough(Tableau a, real h, const real *z, const real *k) {
  real part = 0;
  for (int e = 0; e < SIZE; e++) {
    const real last = fabs(total(a.roughness, k + e * LANES));
    part = last > part ? last : part;
  }
  return share(h * part, h * largest(k, SIZE * LANES), largest(z, SIZE) / 1024);
}

static real smaller(real x, real y) { return x < y ? x : y; }
static real greater(real x, real y) { return x > y ? x : y; }

int run(long from, long to, long trajectories, long intervals, long columns, const real *q0, const real *p0, const real *values,
        const int *ends, const real *times, const long *counts, const real *lengths, const real *coefficients, real *q, real *p,
        signed char *status) {
  edges = ends;
  const Tableau a = tableau(coefficients);
  const real *limits = coefficients + 4 * STAGES + STAGES * STAGES;
  const real tolerance = limits[0], shrink = limits[1], grow = limits[2], safety = limits[3],
             most_steps = limits[4];
  Gauss g = new_gauss();
  if (!g.q) return 1;
  for (long row = from; row < to; row++) {
    const long column = columns > 1 ? row : 0;
    const real longest = lengths[column];
    begin(&g, q0 + row * ENTRIES, p0 + row * ENTRIES, values + row * GIVEN, times[column]);
    put(q, g.q, row);
    put(p, g.p, row);
    real suggested = smaller(span(g.q, g.kq), span(g.p, g.kp));
    for (long interval = 0; interval < intervals; interval++) {
      const real end = times[(interval + 1) * columns + column];
      real left = end - times[interval * columns + column];
      long tried = 0;
      while (left != 0) {
        /* What is left, in one or two steps if they may be as long as that. */
        const real most = smaller(suggested, longest), whole = fabs(left);
        const real h = most >= whole ? left : 2 * most > whole ? left / 2 : copysign(most, left);
        const int found = solve(&g, a, end - left, h, SWEEPS);
        const real size = fabs(h);
        int accepted = 0;
        real length = size * shrink;
        if (found) {
          const real roughness = greater(rough(a, size, g.q, g.new_q), rough(a, size, g.p, g.new_p));
          const real wanted = safety * pow(tolerance / roughness, (real)(1.0 / (STAGES - 1)));
          const real growth = smaller(greater(wanted, shrink), grow);
          accepted = roughness <= 2 * tolerance;
          length = size * growth;
          /* A step that was cut short to meet an output time says little about what is too long. */
          if (accepted && growth >= grow) length = greater(length, suggested);
        }
        suggested = length;
        if (accepted) {
          advance(&g, a, h);
          left -= h;
        }
        if (left == 0) break;
        if (suggested <= 4 * EPS * fabs(left)) status[row] = SINGULAR;
        else if (++tried >= most_steps) status[row] = OUT_OF_STEPS;
        if (status[row]) break;
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
