/* The classic Runge-Kutta method of order 4, as systems/integrators/runge_kutta.py. */

static void ahead(Block b, const real *restrict length, const real *restrict rates, real *restrict state) {
  for (int k = 0; k < SIZE; k++) {
    _Pragma("omp simd")
    for (int w = 0; w < LANES; w++) {
      state[k * LANES + w] = b.q[k * LANES + w] + length[w] * rates[k * LANES + w];
      state[(SIZE + k) * LANES + w] = b.p[k * LANES + w] + length[w] * rates[(SIZE + k) * LANES + w];
    }
  }
}

static void step(Block b, const real *restrict t, const real *restrict h) {
  const int both = 2 * SIZE * LANES;
  real *state = b.more, *first = state + both, *second = first + both, *third = second + both, *last = third + both;
  real middle[LANES], end[LANES], half[LANES], sixth[LANES];
  for (int w = 0; w < LANES; w++) {
    half[w] = h[w] / 2;
    middle[w] = t[w] + half[w];
    end[w] = t[w] + h[w];
    sixth[w] = h[w] / 6;
  }
  derivative(t, b.q, b.p, b.c, first);
  ahead(b, half, first, state);
  derivative(middle, state, state + SIZE * LANES, b.c, second);
  ahead(b, half, second, state);
  derivative(middle, state, state + SIZE * LANES, b.c, third);
  ahead(b, h, third, state);
  derivative(end, state, state + SIZE * LANES, b.c, last);
  for (int k = 0; k < 2 * SIZE; k++) {
    real *value = k < SIZE ? b.q + k * LANES : b.p + (k - SIZE) * LANES;
    real *lost = k < SIZE ? b.lost_q + k * LANES : b.lost_p + (k - SIZE) * LANES;
    _Pragma("omp simd")
    for (int w = 0; w < LANES; w++) {
      const int i = k * LANES + w;
      add(value + w, lost + w, sixth[w] * (first[i] + 2 * (second[i] + third[i]) + last[i]));
    }
  }
}

/* Time and length of step k for each lane: one that has arrived takes steps of length zero, which change nothing. */
static void portions(long interval, long first, long here, long columns, const real *times, long k, const long *count,
                     const real *length, real *t, real *h) {
  for (int w = 0; w < LANES; w++) {
    const long column = columns > 1 ? first + (w < here ? w : here - 1) : 0;
    const int moves = k < count[w];
    h[w] = moves ? length[w] : 0;
    t[w] = times[(moves ? interval : interval + 1) * columns + column];
    t[w] = moves ? t[w] + k * length[w] : t[w];
  }
}

int run(long from, long to, long trajectories, long intervals, long columns, const real *q0, const real *p0, const real *values,
        const int *ends, const real *times, const long *counts, const real *lengths, const real *coefficients, real *q, real *p,
        signed char *status) {
  edges = ends;
  Block b = new_block(10 * SIZE);
  if (!b.q) return 1;
  for (long first = from; first < to; first += TOGETHER) {
    const long here = to - first < TOGETHER ? to - first : TOGETHER;
    enter(b, first, here, q0, p0, values);
    leave(b, first, here, q, p);
    for (long interval = 0; interval < intervals; interval++) {
      long count[LANES];
      real length[LANES], h[LANES], t[LANES];
      const long most = substeps(interval, first, here, columns, counts, lengths, count, length);
      for (long k = 0; k < most; k++) {
        portions(interval, first, here, columns, times, k, count, length, t, h);
        step(b, t, h);
      }
      leave(b, (interval + 1) * trajectories + first, here, q, p);
    }
  }
  free(b.q);
  return 0;
}
