/* Normal modes added up at many times: q = U (C a + S b) / sqrt(m) and p = U (C b - lambda S a) sqrt(m) of one trajectory
   after the other (see normal_modes.py). LANES times are computed at once.

   A time is the sum of three, one of each level: C and S at all times of each level are given, and by the addition
   theorems the amplitudes a, b at one time follow from those at another. */

enum { ROWS = 4 };

static inline double plus(double sum, double x, double y) {
#ifdef __FP_FAST_FMA
  return fma(x, y, sum);
#else
  return sum + x * y;
#endif
}

/* The amplitudes of modes after a time, of `together` in all, whose cosines and sines are at c and s. */
static void turn(long n, long d, const double *restrict square, long together, const double *restrict c,
                 const double *restrict s, const double *restrict a, const double *restrict b, double *restrict later_a,
                 double *restrict later_b) {
  for (long k = 0; k < n; k++) {
    const double cosine = c[k * together], sine = s[k * together], force = -square[k] * sine;
    for (long e = k * d; e < (k + 1) * d; e++) {
      later_a[e] = plus(cosine * a[e], sine, b[e]);
      later_b[e] = plus(cosine * b[e], force, a[e]);
    }
  }
}

/* The same after each of LANES times that follow on each other. */
static void turn_lanes(long n, long d, const double *restrict square, long together, const double *restrict c,
                       const double *restrict s, const double *restrict a, const double *restrict b, double *restrict x,
                       double *restrict y) {
  for (long k = 0; k < n; k++)
    for (long e = k * d; e < (k + 1) * d; e++) {
      const double force = -square[k] * a[e];
      _Pragma("omp simd")
      for (int w = 0; w < LANES; w++) {
        const double cosine = c[k * together + w], sine = s[k * together + w];
        x[e * LANES + w] = plus(cosine * a[e], sine, b[e]);
        y[e * LANES + w] = plus(cosine * b[e], sine, force);
      }
    }
}

/* out_ic = sum_k shape_ki x_kc for `rows` bodies from i on: a constant, so that their sums stay in registers. */
static inline __attribute__((always_inline)) void some_sums(long n, long d, long i, int rows, const double *restrict shape,
                                                            const double *restrict x, double *restrict out) {
  for (long c = 0; c < d; c++) {
    double sum[ROWS][LANES];
    memset(sum, 0, sizeof sum);
    for (long k = 0; k < n; k++)
      for (int r = 0; r < rows; r++)
        _Pragma("omp simd")
        for (int w = 0; w < LANES; w++) sum[r][w] = plus(sum[r][w], shape[k * n + i + r], x[(k * d + c) * LANES + w]);
    for (int r = 0; r < rows; r++) memcpy(out + ((i + r) * d + c) * LANES, sum[r], sizeof sum[r]);
  }
}

static void sums(long n, long d, const double *restrict shape, const double *restrict x, double *restrict out) {
  long i = 0;
  for (; i + ROWS <= n; i += ROWS) some_sums(n, d, i, ROWS, shape, x, out);
  if (n - i >= 2) some_sums(n, d, i, 2, shape, x, out), i += 2;
  if (i < n) some_sums(n, d, i, 1, shape, x, out);
}

typedef double Four __attribute__((vector_size(32)));
#ifdef __clang__
#define SHUFFLED(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
typedef long Places __attribute__((vector_size(32)));
#define SHUFFLED(x, y, ...) __builtin_shuffle(x, y, (Places){__VA_ARGS__})
#endif

/* Four entries at four times, from [entry][time] to [time][entry]. */
static inline void transpose(const double *restrict from, double *restrict to, long entries) {
  Four x[4];
  for (int i = 0; i < 4; i++) memcpy(x + i, from + i * LANES, sizeof(Four));
  const Four a = SHUFFLED(x[0], x[1], 0, 4, 2, 6), b = SHUFFLED(x[0], x[1], 1, 5, 3, 7);
  const Four c = SHUFFLED(x[2], x[3], 0, 4, 2, 6), d = SHUFFLED(x[2], x[3], 1, 5, 3, 7);
  const Four y[4] = {SHUFFLED(a, c, 0, 1, 4, 5), SHUFFLED(b, d, 0, 1, 4, 5), SHUFFLED(a, c, 2, 3, 6, 7),
                     SHUFFLED(b, d, 2, 3, 6, 7)};
  for (int i = 0; i < 4; i++) memcpy(to + i * entries, y + i, sizeof(Four));
}

static void put(const double *restrict from, double *restrict to, long entries, long here) {
  long w = 0;
  for (; w + 4 <= here && entries >= 4; w += 4) {
    for (long e = 0; e + 4 <= entries; e += 4) transpose(from + e * LANES + w, to + w * entries + e, entries);
    if (entries % 4) transpose(from + (entries - 4) * LANES + w, to + (w + 1) * entries - 4, entries); /* some again */
  }
  for (; w < here; w++)
    for (long e = 0; e < entries; e++) to[w * entries + e] = from[e * LANES + w];
}

/* Trajectories `from` ... `to` - 1; q and p are [trajectory][time][body][dimension], cosines and sines [trajectory][mode]
   [time], of the coarse, the middle and the fine level. The fine one's number of times is a multiple of LANES. */
int add_up(long from, long to, long n, long d, long times, long coarse, long middle, long fine, const double *square,
           const double *root, const double *modes, const double *a, const double *b, const double *cosines,
           const double *sines, double *q, double *p) {
  const long entries = n * d, together = coarse + middle + fine;
  const size_t numbers = (3 * LANES + 4) * entries + 2 * n * n;
  double *memory = aligned_alloc(64, (numbers + LANES - 1) / LANES * LANES * sizeof(double));
  if (!memory) return 1;
  double *x = memory, *y = x + entries * LANES, *found = y + entries * LANES, *early_a = found + entries * LANES;
  double *early_b = early_a + entries, *later_a = early_b + entries, *later_b = later_a + entries;
  double *shape_q = later_b + entries, *shape_p = shape_q + n * n;
  for (long row = from; row < to; row++) {
    const double *lambda = square + row * n, *c = cosines + row * n * together, *s = sines + row * n * together;
    for (long k = 0; k < n; k++)
      for (long i = 0; i < n; i++) {
        shape_q[k * n + i] = modes[(row * n + i) * n + k] / root[row * n + i];
        shape_p[k * n + i] = modes[(row * n + i) * n + k] * root[row * n + i];
      }
    long time = 0;
    for (long i = 0; i < coarse; i++) {
      turn(n, d, lambda, together, c + i, s + i, a + row * entries, b + row * entries, early_a, early_b);
      for (long j = coarse; j < coarse + middle; j++) {
        turn(n, d, lambda, together, c + j, s + j, early_a, early_b, later_a, later_b);
        for (long k = coarse + middle; k < together && time < times; k += LANES, time += LANES) {
          const long here = times - time < LANES ? times - time : LANES, place = (row * times + time) * entries;
          turn_lanes(n, d, lambda, together, c + k, s + k, later_a, later_b, x, y);
          sums(n, d, shape_q, x, found);
          put(found, q + place, entries, here);
          sums(n, d, shape_p, y, found);
          put(found, p + place, entries, here);
        }
      }
    }
  }
  free(memory);
  return 0;
}
