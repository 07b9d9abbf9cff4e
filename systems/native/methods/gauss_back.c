/* The gradient of a trajectory of fixed_gauss.c. Of about the root of an interval's steps what they start with is kept,
   then the stages of the steps from one such start to the next.

   The way back through a step is a Gauss step too, from its end to its start: with J_j the derivative of the field at
   stage j, derivatives x' by the end of the step become x = x' + h sum_j b_j l_j by the start, where
   l_j = J_j^T (x' + h sum_k b_k a_kj / b_j l_k) (Sanz-Serna 2016, SIAM Review 58, 3). */

typedef struct {
  Tableau a;
  real nodes[STAGES], matrix[STAGES * STAGES], barycentric[STAGES];
} Backwards;

/* The coefficients of the way back, whose nodes are counted from the end of a step. */
static void turn(Tableau a, Backwards *back) {
  for (int j = 0; j < STAGES; j++) {
    back->nodes[j] = 1 - a.nodes[j];
    back->barycentric[j] = STAGES % 2 ? a.barycentric[j] : -a.barycentric[j];
    for (int k = 0; k < STAGES; k++)
      back->matrix[k * STAGES + j] = a.weights[k] * a.matrix[j * STAGES + k] / a.weights[j];
  }
  const Tableau turned = {back->nodes, a.weights, back->matrix, a.roughness, back->barycentric};
  back->a = turned;
}

/* Where the field is differentiated: the stages of a step, and what its derivative gives. */
typedef struct {
  const real *q, *p, *t, *c;
  real *out;
} Stages;

/* One sweep towards the l_j, which are new_q and new_p; the share in which they change. */
static real sweep_back(Gauss *bar, Tableau a, Stages at, real h, real floor_q, real floor_p, int *finite) {
  const real size = fabs(h);
#if SEPARABLE
  real *by_p = at.out + (SIZE + KEPT) * LANES;
  stages(a, h, bar->p, bar->new_p, bar->stage_p);
  force_back(at.q, at.c, bar->stage_p, at.out);
  memcpy(bar->new_q, at.out, SIZE * LANES * sizeof(real));
  stages(a, h, bar->q, bar->new_q, bar->stage_q);
  velocity_back(at.p, at.c, bar->stage_q, by_p);
  return exchanged(size, bar->new_p, by_p, floor_p, finite);
#else
  stages(a, h, bar->q, bar->new_q, bar->stage_q);
  stages(a, h, bar->p, bar->new_p, bar->stage_p);
  derivative_back(at.t, at.q, at.p, at.c, bar->stage_q, at.out);
  const real change_q = exchanged(size, bar->new_q, at.out, floor_q, finite);
  const real change_p = exchanged(size, bar->new_p, at.out + SIZE * LANES, floor_p, finite);
  return change_q > change_p ? change_q : change_p;
#endif
}

/* The step with these stages; whether the iteration found the l_j. */
static int step_back(Gauss *bar, Tableau a, Stages at, real h, real *values) {
  const real floor_q = largest(bar->q, SIZE) / 1024, floor_p = largest(bar->p, SIZE) / 1024;
  Changes past = {INFINITY, INFINITY};
  int how = GOES_ON, finite = 1;
  extrapolate(bar, a, h);
  for (int sweep = 0; sweep < SWEEPS && how == GOES_ON; sweep++) {
    const real change = sweep_back(bar, a, at, h, floor_q, floor_p, &finite);
    how = judged(&past, sweep, change, finite);
  }
  /* What is fixed is told by the l_j that were found. */
  sweep_back(bar, a, at, h, floor_q, floor_p, &finite);
  for (int k = 0; k < KEPT; k++)
    for (int w = 0; w < LANES; w++) {
#if SEPARABLE
      const real given = at.out[(SIZE + k) * LANES + w] + at.out[(2 * SIZE + KEPT + k) * LANES + w];
#else
      const real given = at.out[(2 * SIZE + k) * LANES + w];
#endif
      values[k * LANES + w] += h * a.weights[w] * given;
    }
  advance(bar, a, h);
  return how == FOUND;
}

static void gather(Gauss *bar, long row, const real *q, const real *p) {
  for (long e = 0; e < ENTRIES; e++) {
    bar->q[PLACE(e)] += q[row * ENTRIES + e];
    bar->p[PLACE(e)] += p[row * ENTRIES + e];
  }
}

/* Over the steps of an interval of length h each; whether all of them were found. */
static int cross_back(Gauss *g, Gauss *bar, Tableau a, Tableau turned, real time, real h, long count, long apart,
                      real *starts, real *path, real *out, real *values) {
  const size_t both = 2 * SIZE * LANES;
  for (long k = 0; k < count; k++) {
    if (k % apart == 0) memcpy(starts + k / apart * CARRIED, g->q, CARRIED * sizeof(real));
    if (k >= (count - 1) / apart * apart) break;
    if (!solve(g, a, time + k * h, h, SWEEPS)) return 0;
    advance(g, a, h);
  }
  for (long start = (count - 1) / apart * apart; start >= 0; start -= apart) {
    const long stop = start + apart < count ? start + apart : count;
    memcpy(g->q, starts + start / apart * CARRIED, CARRIED * sizeof(real));
    g->last = start ? h : (real)INFINITY;
    for (long k = start; k < stop; k++) {
      real *stage = path + (k - start) * both;
      if (!solve(g, a, time + k * h, h, SWEEPS)) return 0;
      stages(a, h, g->q, g->new_q, stage);
      stages(a, h, g->p, g->new_p, stage + SIZE * LANES);
      advance(g, a, h);
    }
    for (long k = stop - 1; k >= start; k--) {
      const real *stage = path + (k - start) * both;
      real t[LANES];
      for (int w = 0; w < LANES; w++) t[w] = time + k * h + a.nodes[w] * h;
      const Stages at = {stage, stage + SIZE * LANES, t, g->c, out};
      if (!step_back(bar, turned, at, h, values)) return 0;
    }
  }
  return 1;
}

int back(long from, long to, long trajectories, long intervals, long columns, const real *q, const real *p, const real *values,
         const real *times, const long *counts, const real *lengths, const real *coefficients, const real *of_q,
         const real *of_p, real *bar_q, real *bar_p, real *bar_values) {
  const long apart = kept_apart(intervals * columns, counts);
  const Tableau a = tableau(coefficients);
  Backwards turned;
  turn(a, &turned);
  Gauss g = new_gauss(), bar = new_gauss();
  real *memory = workspace(LANES * (2 * SIZE + 3 * KEPT + VALUES) + apart * 2 * SIZE * LANES + (apart + 1) * CARRIED);
  if (!g.q || !bar.q || !memory) {
    free(g.q);
    free(bar.q);
    free(memory);
    return 1;
  }
  real *of_values = memory, *out = of_values + KEPT * LANES, *path = out + (2 * SIZE + 2 * KEPT + VALUES) * LANES;
  real *starts = path + apart * 2 * SIZE * LANES;
  for (long row = from; row < to; row++) {
    const long column = columns > 1 ? row : 0;
    memset(bar.q, 0, CARRIED * sizeof(real));
    bar.last = INFINITY;
    memset(of_values, 0, KEPT * LANES * sizeof(real));
    int found = 1;
    for (long interval = intervals - 1; interval >= 0 && found; interval--) {
      const long at = interval * columns + column, place = interval * trajectories + row;
      begin(&g, q + place * ENTRIES, p + place * ENTRIES, values + row * GIVEN, times[at]);
      gather(&bar, place + trajectories, of_q, of_p);
      found = cross_back(&g, &bar, a, turned.a, times[at], lengths[at], counts[at], apart, starts, path, out, of_values);
    }
    gather(&bar, row, of_q, of_p);
    put(bar_q, bar.q, row);
    put(bar_p, bar.p, row);
    begin(&g, q + row * ENTRIES, p + row * ENTRIES, values + row * GIVEN, times[column]);
    prepare_back(g.values, of_values, out);
    for (long k = 0; k < GIVEN; k++) {
      real sum = 0;
      for (int w = 0; w < LANES; w++) sum += out[k * LANES + w];
      bar_values[row * GIVEN + k] = found ? sum : (real)NAN;
    }
    if (!found) blank(bar_q, bar_p, row, trajectories, 0, 1);
  }
  free(g.q);
  free(bar.q);
  free(memory);
  return 0;
}
