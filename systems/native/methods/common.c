/* What all methods share. Arrays of a trajectory's entries are [entry][lane]. */

static real *workspace(size_t count) {
  /* Whole cache lines, so that vectors are aligned. */
  return aligned_alloc(64, (count * sizeof(real) + 63) / 64 * 64);
}

static void put(real *output, const real *x, long row) { memcpy(output + row * SIZE, x, SIZE * sizeof(real)); }

/* How a trajectory ended, as systems/status.py. */
enum { OK, DIVERGED, SINGULAR, OUT_OF_STEPS, UNSOLVED };

/* Not a number at all output times from one on. */
static inline void blank(real *q, real *p, long row, long trajectories, long first, long times) {
  for (long k = first; k < times; k++)
    for (int e = 0; e < SIZE; e++) {
      const long place = (k * trajectories + row) * SIZE + e;
      q[place] = p[place] = (real)NAN;
    }
}

/* A running sum, compensated if COMPENSATED (Knuth 2, section 4.2.2): `lost` is what rounding took from it so far. */
static inline void add(real *restrict value, real *restrict lost, real increment) {
#if COMPENSATED
  const real due = increment + *lost, before = *value, after = before + due, taken = after - before;
  *lost = (before - (after - taken)) + (due - taken);
  *value = after;
#else
  (void)lost;
  *value += increment;
#endif
}
