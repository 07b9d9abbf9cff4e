/* Eigenvalues and eigenvectors of small symmetric matrices by Jacobi's rotations (Golub & Van Loan, Matrix Computations,
   2013, section 8.5), LANES matrices at once. What is left beside the diagonal is below round-off of the largest entry. */

enum { SWEEPS = 30 };

/* Columns (and rows) p and q of a, whose entry [i][j] is at (i * n + j) * LANES, and columns of u, turned by c and s. */
static void rotate(long n, long p, long q, const double *restrict c, const double *restrict s, double *restrict a,
                   double *restrict u) {
  for (long i = 0; i < n; i++) {
    double *up = u + (i * n + p) * LANES, *uq = u + (i * n + q) * LANES;
    double *ap = a + (i * n + p) * LANES, *aq = a + (i * n + q) * LANES;
    double *pa = a + (p * n + i) * LANES, *qa = a + (q * n + i) * LANES;
    const int beside = i != p && i != q;
    _Pragma("omp simd")
    for (int w = 0; w < LANES; w++) {
      const double x = up[w], y = uq[w], z = ap[w], v = aq[w];
      up[w] = c[w] * x - s[w] * y;
      uq[w] = s[w] * x + c[w] * y;
      if (beside) {
        pa[w] = ap[w] = c[w] * z - s[w] * v;
        qa[w] = aq[w] = s[w] * z + c[w] * v;
      }
    }
  }
}

/* One sweep over all pairs; whether a matrix had something to turn. */
static int sweep(long n, const double *restrict least, double *restrict a, double *restrict u) {
  int turned = 0;
  for (long p = 0; p < n; p++)
    for (long q = p + 1; q < n; q++) {
      double *app = a + (p * n + p) * LANES, *aqq = a + (q * n + q) * LANES, *apq = a + (p * n + q) * LANES;
      double *aqp = a + (q * n + p) * LANES, c[LANES], s[LANES];
      int any = 0;
      for (int w = 0; w < LANES; w++) any |= fabs(apq[w]) > least[w];
      if (!any) continue;
      turned = 1;
      _Pragma("omp simd")
      for (int w = 0; w < LANES; w++) {
        const int turn = fabs(apq[w]) > least[w]; /* a matrix that is done is left alone while others are not */
        const double theta = (aqq[w] - app[w]) / (2 * (turn ? apq[w] : 1)), size = fabs(theta) + sqrt(1 + theta * theta);
        const double t = turn ? (theta < 0 ? -1 : 1) / size : 0;
        c[w] = 1 / sqrt(1 + t * t);
        s[w] = t * c[w];
        app[w] -= t * apq[w];
        aqq[w] += t * apq[w];
        apq[w] = aqp[w] = turn ? 0 : apq[w];
      }
      rotate(n, p, q, c, s, a, u);
    }
  return turned;
}

/* Matrices `from` ... `to` - 1, [matrix][n][n]: eigenvalues [matrix][n], ascending, and the vectors as columns. */
int diagonalise(long from, long to, long n, const double *matrices, double *values, double *vectors) {
  double *a = aligned_alloc(64, 2 * n * n * LANES * sizeof(double)), *u = a + n * n * LANES;
  if (!a) return 1;
  for (long first = from; first < to; first += LANES) {
    const long here = to - first < LANES ? to - first : LANES;
    double least[LANES];
    for (int w = 0; w < LANES; w++) {
      const double *matrix = matrices + (first + (w < here ? w : here - 1)) * n * n;
      double largest = 0;
      for (long e = 0; e < n * n; e++) {
        a[e * LANES + w] = matrix[e];
        u[e * LANES + w] = e % (n + 1) == 0;
        largest = fabs(matrix[e]) > largest ? fabs(matrix[e]) : largest;
      }
      least[w] = largest * 0x1p-54;
    }
    for (int k = 0; k < SWEEPS && sweep(n, least, a, u); k++);
    for (int w = 0; w < here; w++)
      for (long k = 0; k < n; k++) {
        const double value = a[k * (n + 1) * LANES + w];
        long place = 0;
        for (long j = 0; j < n; j++) {
          const double other = a[j * (n + 1) * LANES + w];
          place += other < value || (other == value && j < k);
        }
        values[(first + w) * n + place] = value;
        for (long i = 0; i < n; i++) vectors[((first + w) * n + i) * n + place] = u[(i * n + k) * LANES + w];
      }
  }
  free(a);
  return 0;
}
