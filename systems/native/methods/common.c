/* What all methods share.

   Outside, a trajectory's state has ENTRIES numbers, body after body, and its field GIVEN values. Inside, arrays are
   [row][lane]: SIZE rows of a state, VALUES of values, HOISTED of what is computed from values once. Entry e is in row
   PLACE(e); of the TOGETHER trajectories side by side, w has it AT(e, w), and its value k is GIVEN_AT(k, w).

   A call computes the trajectories `from` ... `to` - 1 of all. */

static real *workspace(size_t count) {
  /* Whole cache lines, so that vectors are aligned. */
  return aligned_alloc(64, (count * sizeof(real) + 63) / 64 * 64);
}

static void put(real *output, const real *x, long row) {
  for (long e = 0; e < ENTRIES; e++) output[row * ENTRIES + e] = x[PLACE(e)];
}

/* How a trajectory ended, as systems/status.py. */
enum { OK, DIVERGED, SINGULAR, OUT_OF_STEPS, UNSOLVED };

/* Not a number at all output times from one on. */
static inline void blank(real *q, real *p, long row, long trajectories, long first, long times) {
  for (long k = first; k < times; k++)
    for (long e = 0; e < ENTRIES; e++) {
      const long place = (k * trajectories + row) * ENTRIES + e;
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
