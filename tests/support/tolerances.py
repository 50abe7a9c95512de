"""Every tolerance and critical value of the tests, each with its reason."""

# tests/datasets/test_datasets.py
# coordinates of order 1 recomputed by another formula: a few hundred ulp
DATASETS_ROUNDING = 1e-12
# Kolmogorov-Smirnov: sqrt(n) times the distance exceeds c with probability 2 exp(-2 c^2) = 1e-6
DATASETS_KS_CRITICAL = 2.7
# sample moments against their standard error: 5 sigma, probability 6e-7 each
DATASETS_MOMENT_SIGMAS = 5.0

# --- tableaus and bases ---------------------------------------------------------------------

# tsit5 is published to 16 significant digits: its largest entries, near 12, are off by up to
# 5e-15. Residuals of 1.1e-15 were measured; a wrong digit or order shows at 1e-4.
TSIT5_PRINTED_DIGITS = 5e-15
# implicit tableaus have 28 decimals; a sum of a few products of them, in fractions
PRINTED_28_DIGITS = 1e-26
# a linear system of three unknowns in float64 by the side of exact values
STABILITY_FUNCTION = 2e-15
# sums of a few dozen products of order one
TREE_WEIGHT_ROUNDING = 1e-13
# differences of nearby doubles against the source's printed differences, relative
TABLEAU_DIFFERENCE = 1e-13

# tests/truth/test_oracle.py: relative to max(1, largest entry)
# small dense products in float64 by two ways: a few hundred ulp
ORACLE_ROUNDING = 1e-12
# hand-written reverse mode against the complex step, both true to rounding
ORACLE_REVERSE = 1e-12
# Richardson from central differences, h = 1e-3: h^4 f^(5)/30, eps/h
ORACLE_RICHARDSON = 1e-6
# dz(T)/dT of the discrete flow against f: RK4's error with h = 1/128
ORACLE_DISCRETE = 1e-7
# observed order over halvings with errors well above rounding
ORACLE_ORDER = 0.1
# values of order one from a handful of products, against exact fractions
BASIS_VALUE = 1e-13
# slopes up to 2 J^2 = 100 that cancel
BASIS_SLOPES_SUM = 1e-12
# a small well-conditioned collocation system stands between the two functions
BASIS_PROLONGED = 1e-12
# (t - t0) / (T - t0) of times near ten: a few ulp of t, below the 1e-13 of a shared slot
NORMALISED_TIME = 5e-14

# --- tests/truth/test_errata.py -------------------------------------------------------------------
# RK4 run backward on the coefficients is the transpose of RK4 run forward on the points, so
# only rounding is left (5e-15 measured)
ERRATA_9_AFFINE = 1e-12
# spectral collocation with 25 x 25 nodes and RK4 with h = 1/200 (8e-12 measured)
ERRATA_9_COLLOCATION = 1e-9
# the printed form predicts something else altogether: at least a tenth of the network's range
ERRATA_9_PRINTED_MARGIN = 0.1

# --- tests/machine/test_plain_python.py ----------------------------------------------------------
# three steps of small nets by two codes: a few hundred ulp of the largest entry
PLAIN_PYTHON = 1e-12
# Richardson from central differences, h = 1e-3: 4 h^4 f^(5)/30 and 5 eps/(3 h)
PLAIN_PYTHON_RICHARDSON = 1e-9

# --- tests/training/test_training*.py ------------------------------------------------------------
# |theta - theta*| <= |gradient| / smallest eigenvalue = 2e-6 / 0.488 for entries of 1e-6
TRAINING_MINIMISER = 5e-6
# weights at stage times by two bases, a small collocation system between them
TRAINING_PROLONGED = 1e-12

# --- tests/fields/test_field_contract.py ---------------------------------------------------------
# sums of a dozen products and an activation of 2 ulp, by two codes, against the largest entry
FIELD_VALUE = 2e-14
# a block of an adjoint against the complex step through the oracle, both true to rounding
FIELD_COMPLEX_STEP = 1e-12
# slope of a Taylor remainder fitted over at least four halvings
TAYLOR_SLOPE = 0.05

# --- tests/verify/test_verify*.py ----------------------------------------------------------------
# what check_gradient promises of its slopes
VERIFY_SLOPE = 0.05
# relative errors that must be visible: a few hundred ulp against the complex step (3e-14 to
# 1e-13 measured), eps^(4/5) and better by extrapolated differences (2e-11 measured)
VERIFY_SEEN_COMPLEX_STEP = 1e-12
VERIFY_SEEN_RICHARDSON = 1e-9
# slopes of 1e-6 beside values of order one: 1e-7 from steps of the size of x, 3e-10 from longer
VERIFY_SEEN_LONG_SCALE = 1e-8
# in a block whose derivative happens to be small along the one direction drawn in it
VERIFY_SEEN_BLOCK = 1e-10
# eps times a Rosenbrock value of a few thousand
VERIFY_NOISE_OF_ROSENBROCK = 1e-12
# rounding entries to single precision: 6e-8 at most each, less on average
VERIFY_SINGLE_LEAST = 1e-9
VERIFY_SINGLE_MOST = 1e-7
# a function of order one in single precision, and what its differences can then show
VERIFY_SINGLE_NOISE = 1e-8
VERIFY_SINGLE_SEEN = 1e-6
# elementary functions of numbers of order one, a few ulp each, against the sum of magnitudes
VERIFY_COMPLEX_STEP = 1e-13
# central differences of values of order one: eps^(6/7) and worse for the fastest function
VERIFY_EXTRAPOLATED = 1e-10
# logarithms of pure powers, relative
VERIFY_ORDER = 1e-10

# --- tests/sweeps/test_sweeps.py -----------------------------------------------------------------
# three steps of up to thirteen stages by two codes, against the largest entry
SWEEP_STATE = 1e-13
# a block of the discrete adjoint against the complex step through the oracle
SWEEP_COMPLEX_STEP = 1e-12
# at a node the sides' derivatives must differ by more, else their mean shows nothing
SWEEP_SIDES_DIFFER = 0.01

# --- tests/sweeps/test_sweep_properties.py -------------------------------------------------------
# an invariant that is zero, or a path that does not move, would show nothing
SWEEP_INVARIANT_CLEAR = 1e-3
# observed order of a solution, a log-determinant or a gradient, on each of three halvings
OBSERVED_ORDER = 0.1
# order of the way there and back, one halving: its leading term may cancel only in part
SWEEP_RETURN_ORDER = 0.2
# a path run backwards by subtracting what was added: a few ulp a substep
SWEEP_REVERSE = 1e-13

# --- tests/sweeps/test_implicit.py --------------------------------------------------------------
# stages solved to rounding, a few steps of them, against exact matrices and formulas
IMPLICIT_STATE = 1e-14
# the adjoint against the complex step, relative: 1e-15 to 2e-14 were measured
IMPLICIT_ADJOINT = 2e-13
# norms along a rotation, 40 steps
IMPLICIT_NORM = 1e-14
# values to three digits that the specification gives
IMPLICIT_THREE_DIGITS = 2e-3

# --- tests/problems/test_supervised.py -----------------------------------------------------------
# a mean of a few losses by two codes
SUPERVISED_VALUE = 1e-13
# a block of the gradient against the complex step through the oracle; Hessians alike
SUPERVISED_GRADIENT = 1e-12
# Richardson from central differences of the gradient: 4 h^4 f^(5)/30 and 5 eps/(3 h)
SUPERVISED_STEP = 5e-4
SUPERVISED_RICHARDSON = 1e-9

# --- tests/machine/test_activations.py -----------------------------------------------------------
# largest errors over millions of arguments, rounded up: 2.49, 1.49, 2.30, 0.51, 0.51 measured
TANH_ULPS = 3.0
SOFTPLUS_ULPS = 2.0
SIGMOID_ULPS = 3.0
SINE_ULPS = 1.0
COSINE_ULPS = 1.0
LOG_COSH_ULPS = 3.0
# absolute errors of slopes of at most 1, in machine epsilons: 1 - a^2 of an a near 1 (1.3 measured)
SLOPE_EPS = 2.0

# --- tests/machine/test_kernels.py ---------------------------------------------------------------
# k products and sums: k eps times the product of the absolute values; complex ones cost twice
PRODUCT_EPS = 4.0
# both sums err, and a complex product rounds twice
REDUCTION_EPS = 4.0

# --- tests/test_api.py ------------------------------------------------------------------------
# ten steps of RK4 there and back, against how far the path went
API_THERE_AND_BACK = 1e-3

# flows: values, gradients against the complex step through the oracle, both relative
FLOW_VALUE = 1e-13
FLOW_GRADIENT = 1e-12
# differences of order 4 of the oracle's slope: h^4 f^(5)/30 and 3 eps/(2 h)
FLOW_STEP = 1e-3
FLOW_HESSIAN = 1e-9
FLOW_THERE_AND_BACK = 1e-8  # 200 steps of order 4
FLOW_FLOOR = 1e-12  # errors below are rounding, and left out of the orders

# --- tests/test_densities.py ------------------------------------------------------------------
# a quadratic form with an inverse of condition 100 by two ways, against the largest entry
DENSITY_VALUE = 1e-13
# SciPy goes through an eigendecomposition
DENSITY_SCIPY = 1e-12
# against the complex step through the oracle, entries of up to a few hundred
DENSITY_GRADIENT = 1e-12
# masses and moments of order ten by the trapezoidal rule, 20 sigma to either side
DENSITY_GRID = 1e-12
# far out one component is left: a few ulp of solves and squares
DENSITY_FAR = 1e-14

# --- tests/closed_forms/test_closed_forms.py -----------------------------------------------------
# solves and singular values of matrices of condition up to about 100, against the largest entry
CLOSED_FORM = 1e-12
# the textbook's square roots of squared matrices lose half of the digits of the smallest
CLOSED_FORM_TEXTBOOK = 1e-10
# rounding eps of S, divided by the relative distance e
CLOSED_FORM_CLOSE = 1e-13
# weights a factor of 1e-8 apart, times ratios of variances of up to a few thousand
CLOSED_FORM_LIMIT = 1e-4
# central differences of the objective: h^2 f'''/6 and eps/h, relative to the weights
CLOSED_FORM_STEP = 1e-4
CLOSED_FORM_STATIONARY = 1e-6

# --- flows against closed forms: tests/problems/test_flow_closed_forms.py,
# tests/truth/test_errata_flows.py ---
ERRATA_FLOW = 1e-9  # 40 steps of order 8
CLOSED_FORM_ROUNDING = 1e-13
CLOSED_FORM_NATS = 0.01
CLOSED_FORM_QUADRATURE = 1e-5  # how far 8 steps of RK4 may get below the optimum
CLOSED_FORM_MOMENTS = 0.01
CLOSED_FORM_MAP = 0.02
CLOSED_FORM_MONOTONE = 0.05  # a thousand quantiles and three hundred iterations

# --- tests/reports/test_figure2.py ---
MMD = 0.15  # of the shift's MMD^2, by 1500 draws
WHITE = 1e-9

# --- tests/verify/test_verify_gradient.py: a direction and its triple, all steps ---
VERIFY_LENGTH = 1e-9
VERIFY_LENGTH_ROUNDING = 1e-14  # remainders at rounding differ in their last digits
VERIFY_SLOPES_AGREE = 1e-3

# --- tests/truth/test_oracle_games.py ---
# trapezoids over a smooth density that is at rounding at the ends, RK4 with h = 1/20 in log rho
ORACLE_GAME_QUADRATURE = 1e-6
# one halving with h = 1/16, where higher terms still show
ORACLE_GAME_ORDER = 0.3
# steps of RK4 over a length of 1.2 with a rate of 0.4: h^4 to either side of the exact flow
ORACLE_GAME_FLOW = ((4, 1e-4), (64, 1e-8))

# --- tests/training/test_training_variables.py, test_training_resampled.py, test_..._ends.py ------
# products of up to 25 factors of condition up to 100, against the largest entry
TRAINING_FACTOR = 1e-12
# a step of a thousandth is the difference of two thetas near one, and the line search's own
TRAINING_STEP = 1e-11

# --- tests/closed_forms/test_closed_forms_games.py, test_closed_forms_line.py ---
# spectral collocation and Newton: rounding of a dense system of a few dozen unknowns
LQ_GAME = 1e-10
# layers that take degree 256 and more
LQ_HARD = 1e-8
# differences extrapolated once, h = 1e-3: h^4 f^(5)/120 and eps/h
LQ_DIFFERENCE_STEP = 1e-3
LQ_DIFFERENCE = 1e-8
# first variation against the second: rounding of the cost over the square of a step of 1e-4
LQ_RIVAL = 1e-6
# an adaptive scheme at 1e-13, whose errors grow as the equation's own do
LQ_SHOOTING = 1e-9
# weights of 1e-9 beside weights of order one, times second derivatives
LQ_LIMIT = 1e-7
# the logarithm of a slope by differences over a step far below the width of any component
LINE_STEP = 1e-4
LINE_MAP = 1e-8
LINE_DISTANCE = 1e-11
# 5000 equal parts of the mass: what the outermost of them hold
LINE_SAMPLED = 1e-3
# a minimiser from values alone is known to the root of rounding
LINE_HOPF_LAX_END = 1e-6

# --- tests/problems/test_mean_field_game.py ------------------------------------------------------
# objectives and paths of a few steps by two codes that share no formula, relative to the largest
GAME_VALUE = 2e-13
# a block of the gradient against complex steps through second-order jets
GAME_GRADIENT = 1e-12
# a second derivative against fourth-order differences of the gradient, steps of 1e-4
GAME_HESSIAN = 1e-7

# --- tests/truth/test_transport_optimum.py ---
# 16 intervals and 6 cosines: squares of what they cannot resolve
OPTIMUM_GAP = 3e-5
OPTIMUM_LOWER = 3e-7
OPTIMUM_GAUSSIANS = 1e-6
# extrapolated maxima over points, 160 a side
OPTIMUM_LEGENDRE = 1e-5
# differences: h^2 f'''/6 and eps/h; h^4 f^(5)/30 and eps/h of what changes by a fraction
OPTIMUM_STEP = 1e-5
OPTIMUM_WIDE_STEP = 2e-3
OPTIMUM_ASSEMBLY = 1e-7

# --- tests/games/test_games.py -------------------------------------------------------------------
# a supremum found by an optimiser with a gradient of 1e-9, and where it is attained
FENCHEL_VALUE = 1e-10
FENCHEL_POINT = 1e-6
# fourth-order differences with steps of 1e-3 of functionals of order one
FUNCTIONAL = 1e-9
# means over 200,000 samples of quantities with a deviation of about one: five of theirs
MONTE_CARLO = 0.015
# solves with factors of condition ten by two routes; a second derivative by central differences
TARGET_SCORE = 1e-12
TARGET_CURVATURE = 1e-7

# --- tests/truth/test_grid_game.py ---
# central differences over 1e-5 of the cells' mass, relative: the square of it and eps over it
GRID_NEWTON_STEP = 1e-5
GRID_DERIVATIVE = 1e-6
# sums of a hundred masses of a cell
GRID_MASS = 1e-12
# first against second variation over a tenth of the cells' mass: the cost's third derivative
GRID_RIVAL = 0.1
# 96 cells: h^2 of about 0.013 times a factor of order one
GRID_COARSE = 0.03
GRID_EXTRAPOLATED = 1e-3
GRID_SYMMETRY = 1e-6

# --- tests/problems/test_game_truths.py ----------------------------------------------------------
# solutions that the network represents: rounding of a few dozen operations on numbers of order 3
EXACT_GAME = 1e-13
# 128 steps of RK4 at rates of order one: (1/128)^4 = 4e-9
FINE_STEPS = 1e-8
# observed order of a fourth-order scheme over three halvings from 8 steps on
GAME_ORDER = 0.1
# what the issue asks of trained games: costs and moments within a percent
TRAINED_COST = 0.01
TRAINED_MOMENT = 0.01
# the value function in proportion to its range over the agents
TRAINED_VALUE = 0.02
# root mean square of the map's error, for displacements of order one
TRAINED_MAP = 0.03
TRAINED_LINE = 0.05
# quantiles scaled to the exact variance: the mean of a Gaussian's log-density is exact
ROUNDED_QUANTILES = 1e-13
# a density that integrates to 1: quadrature of a smooth function and 64 steps of RK4
MASS = 1e-4

# --- tests/reports/test_games_report.py ----------------------------------------------------------
# means of samples: standard errors
GAMES_SIGMAS = 5.0
# translations, exact but for rounding; exponentials of log-densities of a few hundred 1e3 times
# that
GAMES_ROUNDING = 1e-12
# 16 steps of RK4 that shrink by exp(-1/2), where densities vary by a factor of e over 0.3
GAMES_STEPS = 1e-6
# what the eight Gaussians overlap, in the weighted divergence
GAMES_OVERLAP = 0.02

# --- tests/reports/test_figure3.py ---------------------------------------------------------------
FIGURE3_ROUNDING = 1e-10
# midpoints of the mass know expectations of smooth functions to the tails' part beyond them
FIGURE3_Q = 1e-3
FIGURE3_GRID = 1e-6

# --- tests/problems/test_game_invariants.py ------------------------------------------------------
# the same numbers by other routes through a few dozen operations
GAME_ROUNDING = 1e-12
# fourth-order differences with steps of 1e-3: h^4 and eps/h
GAME_DIFFERENCE = 1e-9
# smooth densities on grids of tenths of a deviation: quadrature to rounding, 32 steps of RK4
GAME_MASS = 1e-5

# --- tests/reference/test_reference.py -----------------------------------------------------------
# a few dozen operations, in units of eps times the condition; 11 under tsit5, whose entries are 12
REFERENCE_UNITS = 16.0
# the same in units in the last place of the largest entry, 68 under tsit5
REFERENCE_ULP = 128.0

# --- tests/check/test_check_rounded.py -----------------------------------------------------------
# softplus and the like: three rounded steps, and an argument that is rounded to begin with
ROUNDED_FUNCTION = 4.0
# largest error over the array's largest entry, in eps, of well-conditioned cases: 10.5 measured
ROUNDED_UNITS = 24.0

# --- tests/check/test_check_random.py ------------------------------------------------------------
# a few dozen operations in sums and paths, on entries of at least 1
RANDOM_CASES = 1e-12

# --- tests/check/test_check_variants.py, tests/check/test_check_variants_by_hand.py --------------
# the golden digits again in plain NumPy: 9e-15 under tsit5, whose entries are 12
PLAIN = 1e-13
# differences of gradients, extrapolated: 2e-12
PLAIN_HESSIAN = 1e-10
# the least that a known mistake has to change somewhere, relative to the array's largest entry
VARIANT_SEEN = 1e-6
# what tells two mistakes from one another: far above rounding
VARIANT_APART = 1e-9
# a few dozen operations by hand
VARIANT_BY_HAND = 1e-12
# observed order of an optimize-then-discretize gradient's error, from 16 steps on
ADJOINT_ORDER = 0.15

# --- tests/cuda -----------------------------------------------------------------------------
# the same sums in another order: 4e-16 relative to the largest entry
CUDA = 1e-12
# numbers stored with 24 bits, a few dozen operations
CUDA_FLOAT32 = 1e-5
# after three iterations of L-BFGS, which makes more of the last place
CUDA_TRAINED = 1e-9

# --- tests/ode/test_steps.py, test_steps_of_problems.py -----------------------------------------
# times of order one from two or three products and sums
STEPS_NODES = 1e-14
# five steps of small nets by two codes, or one code by two ways: a few hundred ulp
STEPS_VALUE = 1e-12
# adjoint against the complex step through another code, both true to rounding
STEPS_DERIVATIVE = 1e-12
STEPS_DOT = 1e-12
# central differences with h = 1e-5: h^2 f'''/6 and eps/(2 h), relative to the largest entry
STEPS_DIFFERENCE = 1e-7
# observed order of rk4 on t = (n/N)^2, N = 8 to 64
STEPS_ORDER = 0.15
# 64 graded steps of rk4 over a length of 1
STEPS_FINEST = 1e-7
# there and back by 32 graded steps of rk4, whose error is about (1/32)^4/10
STEPS_INVERSE = 1e-6
# --- tests/sweeps/test_stored_values.py ----------------------------------------------------------
# |new - stored| against the norm of each array: rounding in another order. Other BLAS kernels
# of OpenBLAS's are 1e-15 away as a rule and 1.3e-14 at most (a Hessian-vector product)
STORED = 1e-13

# --- tests/costs/test_loss_contract.py -----------------------------------------------------------
# central differences of predictions with h = 1e-5: eps/h, and twice that in the square
LOSS_GAUSS_NEWTON = 1e-8

# --- tests/training/test_training_steps.py -------------------------------------------------------
# a value that is flat to rounding, eps (1 + value), within sqrt(2 eps (1 + value)) of the minimum,
# and line searches end a little before
TRAINING_STOPPED = 1e-6

# --- tests/problems/test_sample_weight.py --------------------------------------------------------
# the same sums of a few hundred terms in another order, relative to the largest entry
SAMPLE_WEIGHT = 1e-12
# central differences of gradients, h = 1e-5: h^2 times third derivatives, and eps/h
SAMPLE_WEIGHT_DIFFERENCES = 1e-7

# --- tests/closed_forms/test_closed_forms_shallow.py ----------------------------------------------
# sums of a few terms of the size of x, and exponents up to 60 of which a last digit is lost
SHALLOW_ROUNDING = 1e-14
# the same through derivatives that are differences of such terms
SHALLOW_ADJOINT = 1e-13
# 40 steps of order 8
SHALLOW_SWEEP = 1e-13
SHALLOW_ORDER = 0.1

# --- tests/reference/test_reference_exact.py ------------------------------------------------------
# 12 steps of order 8 and length 1/24: 5e-18 at most
EXACT_FLOW = 1e-17

# --- tests/verify/test_verify_gap.py, tests/reports/test_gaps.py ---------------------------------
# fitted to two halvings at 64 steps and more, relative gaps from 1e-1 to 1e-11
GAP_ORDER = 0.1
GAP_ROUNDING = 1e-13

# --- tests/reports/test_depths.py --------------------------------------------------------------
# two halvings at 64 layers and more
DEPTH_ORDER = 0.1
# the equation by RK4 with 64 steps and more
DEPTH_REFERENCE = 1e-7

# --- tests/training/test_training_msa.py -------------------------------------------------------
MSA_ROUNDING = 1e-12
MSA_LINEAR = 1e-4  # linear convergence, hundreds of sweeps
# --- tests/problems/test_laplace.py, test_sensitivity.py, test_leave_one_out.py ----------
# a few dozen products, and a solve with a matrix of condition number below 100; 1e-16 measured
LAPLACE_RIDGE = 1e-13
# second derivatives by central differences of gradients, Richardson with h = 1e-3 and 5e-4:
# 4 h^4 f^(5)/30 and 5 eps/(3 h), times the condition number up to 200; 4e-9 measured
LAPLACE_DIFFERENCES = 1e-7
# outputs' derivatives by the same differences, into covariances of order one; 1e-10 measured
LAPLACE_SPREAD = 1e-8
# relative to the largest entry: two codes for the same sums and solves, condition numbers to 200
LAPLACE_ROUNDING = 1e-10
# Laplace's own error in log p(y): about 1/8 of third derivatives squared over M; by tenfold M
# it becomes a tenth, here 8.6 to 10.4 measured
LAPLACE_TENTH = (7.5, 12.0)
# order of central differences of optima in the step, h^2: 1.999 to 2.001 measured
SENSITIVITY_ORDER = 0.02
# steps of one size by two solves with condition numbers up to 200; 1e-12 measured
LEFT_OUT_STEP = 1e-9
# --- tests/ode/test_interpolation.py -------------------------------------------------------------
# a few steps of small nets by two codes and another form of the polynomial: a few hundred ulp
INTERPOLATION = 1e-12
# dopri5 with 64 steps on a closed form (6e-13 measured)
INTERPOLATION_FINE = 1e-11
# the local order, over one halving of a step so small that 5.08, 3.98 and 4.01 were measured
INTERPOLATION_ORDER = 0.1

# --- tests/problems/test_trajectories.py ---------------------------------------------------------
# a few dozen stages and sums of small nets by two codes: a few hundred ulp of the largest entry
TRAJECTORIES = 1e-11
# central differences of gradients, step 1e-5
TRAJECTORIES_DIFFERENCES = 1e-7
# Newton's method on well-conditioned fits ends at rounding
TRAJECTORIES_FIT = 1e-12
# dopri5 with 16 steps, or four between times, on a mild flow: the interpolant's 1e-9
TRAJECTORIES_FLOW = 1e-8
# L-BFGS on exact data, stopped by its gradient
TRAJECTORIES_TRAINED = 1e-4
