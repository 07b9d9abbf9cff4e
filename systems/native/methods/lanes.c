/* TOGETHER trajectories side by side; those beyond the last repeat it. */

typedef struct {
  real *q, *p, *lost_q, *lost_p, *values, *c, *more;
} Block;

static Block new_block(size_t more) {
  real *memory = workspace(LANES * (4 * SIZE + VALUES + HOISTED + more));
  Block b = {memory};
  b.p = b.q + SIZE * LANES;
  b.lost_q = b.p + SIZE * LANES;
  b.lost_p = b.lost_q + SIZE * LANES;
  b.c = b.lost_p + SIZE * LANES;
  b.more = b.c + HOISTED * LANES;
  b.values = b.more + more * LANES;
  return b;
}

static void enter(Block b, long first, long here, const real *q0, const real *p0, const real *values) {
  memset(b.q, 0, 4 * SIZE * LANES * sizeof(real));
  for (int w = 0; w < TOGETHER; w++) {
    const long row = first + (w < here ? w : here - 1);
    for (long e = 0; e < ENTRIES; e++) {
      b.q[AT(e, w)] = q0[row * ENTRIES + e];
      b.p[AT(e, w)] = p0[row * ENTRIES + e];
    }
    for (long k = 0; k < GIVEN; k++) b.values[GIVEN_AT(k, w)] = values[row * GIVEN + k];
  }
  prepare(b.values, b.c);
}

static void leave(Block b, long row, long here, real *q, real *p) {
  for (int w = 0; w < here; w++)
    for (long e = 0; e < ENTRIES; e++) {
      q[(row + w) * ENTRIES + e] = b.q[AT(e, w)];
      p[(row + w) * ENTRIES + e] = b.p[AT(e, w)];
    }
}

/* Of interval t: the substeps' number and length for each lane; returns the largest number. */
static long substeps(long t, long first, long here, long columns, const long *counts, const real *lengths, long *count,
                     real *length) {
  long most = 0;
  for (int w = 0; w < LANES; w++) {
    const long column = columns > 1 ? first + (w < here ? w : here - 1) : 0;
    count[w] = counts[t * columns + column];
    length[w] = lengths[t * columns + column];
    most = count[w] > most ? count[w] : most;
  }
  return most;
}
