/* dq/dt and dp/dt of states, for a comparison with the field itself. */

int evaluate(long trajectories, long columns, const real *q, const real *p, const real *values, const int *ends,
             const real *times, real *rates_q, real *rates_p) {
  edges = ends;
  real *memory = workspace(LANES * (4 * SIZE + VALUES + HOISTED));
  if (!memory) return 1;
  real *z = memory, *rates = z + 2 * SIZE * LANES, *c = rates + 2 * SIZE * LANES, *v = c + HOISTED * LANES, t[LANES];
  for (long first = 0; first < trajectories; first += TOGETHER) {
    const long here = trajectories - first < TOGETHER ? trajectories - first : TOGETHER;
    memset(z, 0, 2 * SIZE * LANES * sizeof(real));
    for (int w = 0; w < TOGETHER; w++) {
      const long row = first + (w < here ? w : here - 1);
      for (long e = 0; e < ENTRIES; e++) {
        z[AT(e, w)] = q[row * ENTRIES + e];
        z[SIZE * LANES + AT(e, w)] = p[row * ENTRIES + e];
      }
      for (long k = 0; k < GIVEN; k++) v[GIVEN_AT(k, w)] = values[row * GIVEN + k];
    }
    for (int w = 0; w < LANES; w++) t[w] = times[columns > 1 ? first + (w < here ? w : here - 1) : 0];
    prepare(v, c);
#if SEPARABLE
    velocity(z + SIZE * LANES, c, rates);
    force(z, c, rates + SIZE * LANES);
#else
    derivative(t, z, z + SIZE * LANES, c, rates);
#endif
    for (int w = 0; w < here; w++)
      for (long e = 0; e < ENTRIES; e++) {
        rates_q[(first + w) * ENTRIES + e] = rates[AT(e, w)];
        rates_p[(first + w) * ENTRIES + e] = rates[SIZE * LANES + AT(e, w)];
      }
  }
  free(memory);
  return 0;
}
