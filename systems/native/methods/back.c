/* What gradients of trajectories share. A way back goes from output time to output time, the last one first; between two
   of them it takes the steps again from the first. */

/* About the root of the largest number of steps of an interval: after so many of them a state is kept. */
static long kept_apart(long count, const long *counts) {
  long longest = 1;
  for (long k = 0; k < count; k++) longest = counts[k] > longest ? counts[k] : longest;
  return (long)ceil(sqrt((double)longest));
}

static void accumulate(real *restrict to, const real *restrict from, long count) {
  _Pragma("omp simd")
  for (long i = 0; i < count; i++) to[i] += from[i];
}
