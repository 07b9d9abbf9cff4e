/* What gradients of trajectories share. A way back goes from output time to output time, the last one first; between two
   of them it takes the steps again from the first. */

typedef struct {
  real *q, *p, *pull, *values, *out; /* derivatives by the state, by a force or derivative, and by what is fixed */
} Bar;

/* About the root of the largest number of steps of an interval: after so many of them a state is kept. */
static long kept_apart(long count, const long *counts) {
  long longest = 1;
  for (long k = 0; k < count; k++) longest = counts[k] > longest ? counts[k] : longest;
  return (long)ceil(sqrt((double)longest));
}

static void gather(Bar bar, long row, long here, const real *q, const real *p) {
  for (int w = 0; w < here; w++)
    for (long e = 0; e < ENTRIES; e++) {
      bar.q[AT(e, w)] += q[(row + w) * ENTRIES + e];
      bar.p[AT(e, w)] += p[(row + w) * ENTRIES + e];
    }
}

static void accumulate(real *restrict to, const real *restrict from, long count) {
  _Pragma("omp simd")
  for (long i = 0; i < count; i++) to[i] += from[i];
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
