/* Gauss collocation for one trajectory whose STAGES stages are the lanes, as systems/integrators/collocation.py. */

typedef struct {
  const real *nodes, *weights, *matrix, *roughness, *barycentric; /* matrix[j * STAGES + i] = a_ij */
} Tableau;

/* What a step takes over from the one before: a state, what rounding took from it, and derivatives. */
#define CARRIED ((4 * SIZE + 7) / 8 * 8 + 2 * SIZE * LANES)

typedef struct {
  real *q, *p, *lost_q, *lost_p; /* [entry], the first of CARRIED numbers */
  real *c;                       /* the field's constants, the same in all lanes */
  real *values;
  real *kq, *kp, *new_q, *new_p; /* derivatives of the last step, and of the one that is solved for: [entry][stage] */
  real *stage_q, *stage_p, *image;
  real last; /* the last step's length */
} Gauss;

static Tableau tableau(const real *x) {
  Tableau a = {x, x + STAGES, x + 2 * STAGES, x + 2 * STAGES + STAGES * STAGES, x + 3 * STAGES + STAGES * STAGES};
  return a;
}

static Gauss new_gauss(void) {
  const size_t whole = (4 * SIZE + 7) / 8 * 8;
  Gauss g;
  real *memory = workspace(whole + LANES * (8 * SIZE + VALUES + HOISTED));
  g.q = memory;
  if (!memory) return g;
  g.p = g.q + SIZE;
  g.lost_q = g.p + SIZE;
  g.lost_p = g.lost_q + SIZE;
  g.kq = memory + whole;
  g.kp = g.kq + SIZE * LANES;
  g.new_q = g.kp + SIZE * LANES;
  g.new_p = g.new_q + SIZE * LANES;
  g.stage_q = g.new_p + SIZE * LANES;
  g.stage_p = g.stage_q + SIZE * LANES;
  g.image = g.stage_p + SIZE * LANES;
  g.c = g.image + 2 * SIZE * LANES;
  g.values = g.c + HOISTED * LANES;
  return g;
}

/* FOLD(x, o) is x(0) o x(1) o ... o x(STAGES - 1) by halves, as `collocation.folded`. */

/* sum_j a_ij k_j of one entry, for the stages i. */
static inline void weighted(const real *restrict a, const real *restrict k, real *restrict sum) {
#define TERM(j) (a[(j) * LANES + w] * k[j])
  _Pragma("omp simd")
  for (int w = 0; w < LANES; w++) sum[w] = FOLD(TERM, +);
#undef TERM
}

/* sum_j b_j k_j of one entry. */
static inline real total(const real *b, const real *k) {
#define TERM(j) (b[j] * k[j])
  return FOLD(TERM, +);
#undef TERM
}

static real largest(const real *restrict x, int count) {
  real most = 0;
  _Pragma("omp simd reduction(max : most)")
  for (int i = 0; i < count; i++) {
    const real size = fabs(x[i]);
    most = size > most ? size : most;
  }
  return most;
}

static real share(real part, real whole, real floor) {
  whole = whole > floor ? whole : floor;
  return part / (whole > TINY ? whole : TINY);
}

/* The state, its field's constants in all lanes, and constant derivatives, as if the last step had been infinitely long. */
static void begin(Gauss *g, const real *q, const real *p, const real *values, real time) {
  memset(g->q, 0, 4 * SIZE * sizeof(real));
  for (long e = 0; e < ENTRIES; e++) {
    g->q[PLACE(e)] = q[e];
    g->p[PLACE(e)] = p[e];
  }
  for (long k = 0; k < GIVEN; k++)
    for (int w = 0; w < LANES; w++) g->values[GIVEN_AT(k, w)] = values[k];
  prepare(g->values, g->c);
  for (int k = 0; k < SIZE; k++)
    for (int w = 0; w < LANES; w++) {
      g->stage_q[k * LANES + w] = g->q[k];
      g->stage_p[k * LANES + w] = g->p[k];
    }
#if SEPARABLE
  velocity(g->stage_p, g->c, g->kq);
  force(g->stage_q, g->c, g->kp);
#else
  real t[LANES];
  for (int w = 0; w < LANES; w++) t[w] = time;
  derivative(t, g->stage_q, g->stage_p, g->c, g->image);
  memcpy(g->kq, g->image, LANES * SIZE * sizeof(real));
  memcpy(g->kp, g->image + LANES * SIZE, LANES * SIZE * sizeof(real));
#endif
  g->last = INFINITY;
}

/* The first guess: the polynomial through the last step's derivatives, at the nodes of the next. */
static void extrapolate(Gauss *g, Tableau a, real h) {
  const real ratio = h / g->last;
  real apart[STAGES][LANES], by[STAGES][LANES], product[LANES];
  for (int j = 0; j < STAGES; j++)
    _Pragma("omp simd")
    for (int w = 0; w < LANES; w++) {
      const real x = (1 + a.nodes[w] * ratio) - a.nodes[j];
      apart[j][w] = x == 0 ? EPS * EPS : x;
    }
#define TERM(j) apart[j][w]
  _Pragma("omp simd")
  for (int w = 0; w < LANES; w++) product[w] = FOLD(TERM, *);
#undef TERM
  for (int j = 0; j < STAGES; j++)
    _Pragma("omp simd")
    for (int w = 0; w < LANES; w++) by[j][w] = product[w] * a.barycentric[j] / apart[j][w];
  for (int k = 0; k < SIZE; k++) {
    weighted(by[0], g->kq + k * LANES, g->new_q + k * LANES);
    weighted(by[0], g->kp + k * LANES, g->new_p + k * LANES);
  }
}

/* Stages z + h sum_j a_ij k_j from derivatives k. */
static void stages(Tableau a, real h, const real *restrict z, const real *restrict k, real *restrict stage) {
  for (int e = 0; e < SIZE; e++) {
    real sum[LANES];
    weighted(a.matrix, k + e * LANES, sum);
    _Pragma("omp simd")
    for (int w = 0; w < LANES; w++) stage[e * LANES + w] = z[e] + h * sum[w];
  }
}

/* The share in which derivatives change from old to new, and the new ones in the place of the old. */
static real exchanged(real h, real *restrict old, const real *restrict new, real floor, int *finite) {
  real change = 0, size = 0, sum = 0;
  _Pragma("omp simd reduction(max : change, size) reduction(+ : sum)")
  for (int i = 0; i < SIZE * LANES; i++) {
    const real difference = fabs(new[i] - old[i]), whole = fabs(new[i]);
    change = difference > change ? difference : change;
    size = whole > size ? whole : size;
    sum += 0 * whole; /* not a number once an entry is not finite */
    old[i] = new[i];
  }
  *finite &= sum == 0;
  return share(h * change, h * size, floor);
}

/* A fixed-point iteration: the changes of the last two sweeps, at first infinite. */
typedef struct {
  real before, earlier;
} Changes;

enum { GOES_ON, FOUND, LOST };

/* What becomes of it after a sweep with this change. */
static inline int judged(Changes *past, int sweep, real change, int finite) {
  if (!finite || !(change < INFINITY)) return LOST;
  /* The next change follows from the last two ratios. In round-off, changes no longer fall. */
  const real one = change / past->before, two = past->before / past->earlier;
  const real ahead = sweep == 0 ? change : change * (one > two ? one : two);
  const int small = change <= 4096 * EPS;
  if (ahead <= EPS / 16 || change == 0 || (change >= past->earlier && small)) return FOUND;
  if (change > 2 * past->before && !small && sweep > 3) return LOST;
  past->earlier = past->before;
  past->before = change;
  return GOES_ON;
}

/* Slopes of a step by fixed-point iteration until rounding is all that changes them; whether they were found. */
static int solve(Gauss *g, Tableau a, real t, real h, int sweeps) {
  const real size = fabs(h), floor_q = largest(g->q, SIZE) / 1024, floor_p = largest(g->p, SIZE) / 1024;
  Changes past = {INFINITY, INFINITY};
  extrapolate(g, a, h);
#if !SEPARABLE
  real node[LANES];
  for (int w = 0; w < LANES; w++) node[w] = t + a.nodes[w] * h;
#endif
  for (int sweep = 0; sweep < sweeps; sweep++) {
    int finite = 1;
    stages(a, h, g->q, g->new_q, g->stage_q);
#if SEPARABLE
    force(g->stage_q, g->c, g->new_p);
    stages(a, h, g->p, g->new_p, g->stage_p);
    velocity(g->stage_p, g->c, g->image);
    real change = exchanged(size, g->new_q, g->image, floor_q, &finite);
    (void)floor_p, (void)t;
#else
    stages(a, h, g->p, g->new_p, g->stage_p);
    derivative(node, g->stage_q, g->stage_p, g->c, g->image);
    const real change_q = exchanged(size, g->new_q, g->image, floor_q, &finite);
    const real change_p = exchanged(size, g->new_p, g->image + SIZE * LANES, floor_p, &finite);
    real change = change_q > change_p ? change_q : change_p;
#endif
    const int how = judged(&past, sweep, change, finite);
    if (how != GOES_ON) return how == FOUND;
  }
  return 0;
}

/* The end of a step whose derivatives were found. */
static void advance(Gauss *g, Tableau a, real h) {
  for (int k = 0; k < SIZE; k++) {
    add(g->q + k, g->lost_q + k, h * total(a.weights, g->new_q + k * LANES));
    add(g->p + k, g->lost_p + k, h * total(a.weights, g->new_p + k * LANES));
  }
  memcpy(g->kq, g->new_q, 2 * SIZE * LANES * sizeof(real));
  g->last = h;
}
