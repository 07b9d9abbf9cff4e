/* dq/dt and dp/dt of states, for a comparison with the field itself. */

int evaluate(long trajectories, long columns, const real *q, const real *p, const real *values, const real *times,
             real *rates_q, real *rates_p) {
  real *memory = workspace(LANES * (4 * SIZE + VALUES + HOISTED));
  if (!memory) return 1;
  real *z = memory, *rates = z + 2 * SIZE * LANES, *c = rates + 2 * SIZE * LANES, *v = c + HOISTED * LANES, t[LANES];
  for (long first = 0; first < trajectories; first += LANES) {
    const long here = trajectories - first < LANES ? trajectories - first : LANES;
    for (int w = 0; w < LANES; w++) {
      const long row = first + (w < here ? w : here - 1);
      t[w] = times[columns > 1 ? row : 0];
      for (int k = 0; k < SIZE; k++) {
        z[k * LANES + w] = q[row * SIZE + k];
        z[(SIZE + k) * LANES + w] = p[row * SIZE + k];
      }
      for (int k = 0; k < VALUES; k++) v[k * LANES + w] = values[row * VALUES + k];
    }
    prepare(v, c);
#if SEPARABLE
    velocity(z + SIZE * LANES, c, rates);
    force(z, c, rates + SIZE * LANES);
#else
    derivative(t, z, z + SIZE * LANES, c, rates);
#endif
    for (int w = 0; w < here; w++)
      for (int k = 0; k < SIZE; k++) {
        rates_q[(first + w) * SIZE + k] = rates[k * LANES + w];
        rates_p[(first + w) * SIZE + k] = rates[(SIZE + k) * LANES + w];
      }
  }
  free(memory);
  return 0;
}
