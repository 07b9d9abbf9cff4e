/* Trajectories side by side, LANES at a time; those beyond the last repeat it. */

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
  for (int w = 0; w < LANES; w++) {
    const long row = first + (w < here ? w : here - 1);
    for (int k = 0; k < SIZE; k++) {
      b.q[k * LANES + w] = q0[row * SIZE + k];
      b.p[k * LANES + w] = p0[row * SIZE + k];
      b.lost_q[k * LANES + w] = b.lost_p[k * LANES + w] = 0;
    }
    for (int k = 0; k < VALUES; k++) b.values[k * LANES + w] = values[row * VALUES + k];
  }
  prepare(b.values, b.c);
}

static void leave(Block b, long row, long here, real *q, real *p) {
  for (int w = 0; w < here; w++)
    for (int k = 0; k < SIZE; k++) {
      q[(row + w) * SIZE + k] = b.q[k * LANES + w];
      p[(row + w) * SIZE + k] = b.p[k * LANES + w];
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
