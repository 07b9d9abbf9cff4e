/* The gradient of a trajectory of runge_kutta.c. Of about the root of an interval's steps the states are kept, then those
   of the steps from one such state to the next; the stages of a step are computed once more. */

/* What pull = weight * bar + by * out gives to a stage x: to `out`, and added up in `total` and in what is fixed. */
static void stage_back(Block b, Bar bar, const real *restrict t, const real *restrict x, const real *restrict weight,
                       const real *restrict by, real *restrict total) {
  const int both = 2 * SIZE * LANES;
  for (int k = 0; k < 2 * SIZE; k++)
    _Pragma("omp simd")
    for (int w = 0; w < LANES; w++)
      bar.pull[k * LANES + w] = weight[w] * bar.q[k * LANES + w] + by[w] * bar.out[k * LANES + w];
  derivative_back(t, x, x + SIZE * LANES, b.c, bar.pull, bar.out);
  accumulate(total, bar.out, both);
  accumulate(bar.values, bar.out + both, KEPT * LANES);
}

/* The step that starts at the state of b. */
static void step_back(Block b, Bar bar, const real *restrict t, const real *restrict h) {
  const int both = 2 * SIZE * LANES;
  real *second = b.more, *third = second + both, *last = third + both, *rates = last + both, *total = rates + both;
  real middle[LANES], end[LANES], half[LANES], third_part[LANES], sixth[LANES];
  for (int w = 0; w < LANES; w++) {
    half[w] = h[w] / 2;
    third_part[w] = h[w] / 3;
    sixth[w] = h[w] / 6;
    middle[w] = t[w] + half[w];
    end[w] = t[w] + h[w];
  }
  derivative(t, b.q, b.p, b.c, rates);
  ahead(b, half, rates, second);
  derivative(middle, second, second + SIZE * LANES, b.c, rates);
  ahead(b, half, rates, third);
  derivative(middle, third, third + SIZE * LANES, b.c, rates);
  ahead(b, h, rates, last);
  memcpy(total, bar.q, both * sizeof(real));
  memset(bar.out, 0, both * sizeof(real));
  stage_back(b, bar, end, last, sixth, h, total);
  stage_back(b, bar, middle, third, third_part, h, total);
  stage_back(b, bar, middle, second, third_part, half, total);
  stage_back(b, bar, t, b.q, sixth, half, total);
  memcpy(bar.q, total, both * sizeof(real));
}

int back(long from, long to, long trajectories, long intervals, long columns, const real *q, const real *p, const real *values,
         const real *times, const long *counts, const real *lengths, const real *coefficients, const real *of_q,
         const real *of_p, real *bar_q, real *bar_p, real *bar_values) {
  const long apart = kept_apart(intervals * columns, counts);
  const size_t both = 2 * SIZE * LANES, whole = 4 * SIZE * LANES;
  Block b = new_block(10 * SIZE);
  real *memory =
      workspace(LANES * (6 * SIZE + KEPT + (KEPT > VALUES ? KEPT : VALUES)) + apart * both + (apart + 1) * whole);
  if (!b.q || !memory) {
    free(b.q);
    free(memory);
    return 1;
  }
  Bar bar = {memory, memory + SIZE * LANES, memory + both};
  bar.values = bar.pull + both;
  bar.out = bar.values + KEPT * LANES;
  real *states = bar.out + both + (KEPT > VALUES ? KEPT : VALUES) * LANES, *starts = states + apart * both;
  for (long first = from; first < to; first += TOGETHER) {
    const long here = to - first < TOGETHER ? to - first : TOGETHER;
    memset(bar.q, 0, both * sizeof(real));
    memset(bar.values, 0, KEPT * LANES * sizeof(real));
    for (long interval = intervals - 1; interval >= 0; interval--) {
      const long place = interval * trajectories + first;
      enter(b, 0, here, q + place * ENTRIES, p + place * ENTRIES, values + first * GIVEN);
      gather(bar, place + trajectories, here, of_q, of_p);
      long count[LANES];
      real length[LANES], t[LANES], h[LANES];
      const long most = substeps(interval, first, here, columns, counts, lengths, count, length);
      for (long k = 0; k < most; k++) {
        if (k % apart == 0) memcpy(starts + k / apart * whole, b.q, whole * sizeof(real));
        if (k < (most - 1) / apart * apart) {
          portions(interval, first, here, columns, times, k, count, length, t, h);
          step(b, t, h);
        }
      }
      for (long start = (most - 1) / apart * apart; start >= 0; start -= apart) {
        const long stop = start + apart < most ? start + apart : most;
        memcpy(b.q, starts + start / apart * whole, whole * sizeof(real));
        for (long k = start; k < stop; k++) {
          memcpy(states + (k - start) * both, b.q, both * sizeof(real));
          portions(interval, first, here, columns, times, k, count, length, t, h);
          step(b, t, h);
        }
        for (long k = stop - 1; k >= start; k--) {
          memcpy(b.q, states + (k - start) * both, both * sizeof(real));
          portions(interval, first, here, columns, times, k, count, length, t, h);
          step_back(b, bar, t, h);
        }
      }
    }
    enter(b, first, here, q, p, values);
    gather(bar, first, here, of_q, of_p);
    finish(b, bar, first, here, bar_q, bar_p, bar_values);
  }
  free(b.q);
  free(memory);
  return 0;
}
