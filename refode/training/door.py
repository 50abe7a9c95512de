"""``train``: the public door to one optimisation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from refode import _validate
from refode.training import adapted
from refode.training.batches import plan_of
from refode.training.options import Callback, Options, start
from refode.training.periods import Periods
from refode.training.run import Run
from refode.training.samples import samples_of
from refode.training.validation import validation_of

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult


def train(
    problem: Any,
    x: Any,
    y: Any = None,
    theta0: Any = None,
    seed: int = 0,
    max_iter: int = 200,
    progress: bool = True,
    callback: Callback | None = None,
    *,
    method: str = "lbfgs",
    tolerance: float = 1e-6,
    memory: int = 20,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    resume: bool = False,
    terms: bool = False,
    sample_weight: Any = None,
    validation: Any = None,
    patience: int | None = None,
    batch: int | None = None,
    every: int | None = None,
    adapt: dict[str, Any] | None = None,
) -> OptimizeResult:
    """Minimise a problem's objective over theta on fixed samples, by SciPy.

    Parameters
    ----------
    problem : refode.problems.contract.Problem, or any object
        With ``value_and_gradient(theta, x, y)`` (``(theta, x)`` where y is None), a float and
        an array (p,); with ``initial(seed)`` unless theta0 is given; for the two Newton methods
        with ``hessian_vector(theta, v, x, y)``, and for gn-cg with
        ``gauss_newton_vector(theta, v, x, y)``.
    x, y : array_like
        Samples and targets, as the problem takes them.
    theta0 : (p,), optional
        Where to start; ``problem.initial(seed)`` by default.
    seed : int, optional
        For ``problem.initial``, unless theta0 is given, and for batches.
    max_iter : int, optional
        The largest number of iterations.
    progress : bool, optional
        Whether to show iteration, value, gradient norm, evaluations and seconds on standard
        error: a live line on a terminal, else a line every ten seconds, first and last
        included. Where the problem has a method ``costs(theta, x, y)``, a dict of numbers, a
        line shows these terms too; they are computed for the lines alone, which come so far
        apart that this takes at most a twentieth of the time.
    callback : callable, optional
        ``callback(intermediate)`` after each iteration, with an OptimizeResult of ``x`` and
        ``jac`` (copies), ``fun``, ``gradient_norm``, ``iteration``, ``evaluations``,
        ``products``, ``seconds``, and ``validation`` where there is one. It ends the training
        by returning True or raising StopIteration. On resuming it is not called again for
        stored iterations.
    method : {"lbfgs", "newton-cg", "trust-krylov", "gn-cg"}, optional
        SciPy's L-BFGS-B; one of its Newton methods with exact Hessian-vector products; or
        Gauss-Newton: conjugate gradients within a trust region, SciPy's trust-ncg, with
        Gauss-Newton products, (D149).
    tolerance : float, optional
        Converged where no entry of the gradient is larger in magnitude, for every method.
    memory : int, optional
        Pairs of vectors that L-BFGS keeps; the other methods do without.
    checkpoint : path, optional
        Where to save the run (``.npz``), after the first evaluation, every
        ``checkpoint_every`` iterations and at the end, an interrupted one too. An existing
        file is overwritten unless ``resume``. It grows by 8 p bytes an evaluation or product.
        ``refode.load`` reads it as a model: the problem, and the best theta.
    checkpoint_every : int, optional
    resume : bool, optional
        Go on with the run in ``checkpoint``, to the same bits as without the interruption.
        Its calls are played back, and the first and last ones made again to see that they
        still give the same bits. Everything must be as it was, but for ``max_iter``,
        ``tolerance`` and ``patience``, which only say when to stop, ``progress``, ``callback``
        and ``checkpoint_every``.
    terms : bool, optional
        Whether the history has the terms of ``problem.costs`` for every iteration, in columns
        of their names. It costs a call an iteration.
    sample_weight : (N,), optional
        What each sample counts, at least 0: goes to the problem's methods by this name.
    validation : tuple, optional
        Samples that are not trained on: ``(x, y)`` or ``(x, y, sample_weight)``; without
        targets ``x``, ``(x,)`` or ``(x, sample_weight)``. The value on them is computed after
        each iteration, a column of the history, and ``x`` of the result is the theta with the
        least one. Of a ``Supervised`` that is the mean loss and of a flow the likelihood, without
        regularisers and transport cost; of other problems the value.
    patience : int, optional
        Enough after so many iterations without a better value on the validation samples.
    batch : int, optional
        Train on batches of at most so many samples. Each pass through all of them is shuffled
        anew, and has as few batches as that allows, of equal sizes up to one. A batch of all
        samples is plain training. Samples of weight zero are in no batch.
    every : int, optional
        Iterations on a batch before the next one, 10 by default; or on a grid before it is planned
        anew, 25 by default. L-BFGS's line search wants a fixed function, and the curvature that it
        has met goes along to the next period.
    adapt : dict, optional
        Tolerances, and what else ``problem.adapt`` takes by name: training is then on a grid that
        is planned for these samples, at the start and every so many iterations once more, and
        holds the gradient to the tolerances unless ``gradient=False`` is among them. Not together
        with batches.

    Returns
    -------
    OptimizeResult
        ``x`` (p,), ``fun``, ``jac`` (p,), ``nit``, ``nfev`` and ``njev`` (calls of
        value_and_gradient), ``nhev`` (products with vectors, not of L-BFGS),
        ``success``, ``status``, ``message``, ``history``, and ``method``.

        ``history`` is a structured array of ``refode.training.HISTORY``: a row an iteration,
        row 0 for the start, with ``iteration``, ``value``, ``gradient_norm`` (Euclidean),
        ``seconds``, ``evaluations``, ``products``; the last three count from the start, and the
        compiler's time is none of the seconds. With a validation there is a column
        ``validation`` (before any terms), and the result has ``validation``, the value there of
        ``x``, and ``best_iteration``, that of ``x``; None where no value was finite, and x is
        what it is without a validation.

        With batches ``fun`` and ``jac`` are on the one on which ``x`` was evaluated, ``history``
        has the columns of ``refode.training.RESAMPLED``: first ``period``, the number of the
        batch from 0, whose first row is its start, the last iterate, with the same
        ``iteration``. ``validation`` there is NaN if there is none. ``periods`` is the number
        of batches so far. Converged means that a pass's batches have each nothing to gain.

        With ``adapt`` too each grid is a period, with the same first row, and a last column (before
        any terms) ``n_steps``. ``problem`` of the result is the problem on the last grid. Converged
        means that a new grid has nothing to gain. A grid that cannot be planned ends the training
        with status 13.

        ``status`` and what ``x`` is then:

        ======  =====================================================================
        0       converged: the tolerance is met, or the value has stopped falling
        1       ``max_iter`` iterations are done
        2       no step lessens the value, or the line search failed otherwise: ``message``
                says how large the gradient is, and what to try
        3       SciPy could not go on for another reason, in ``message``
        10      the callback ended it
        11      Ctrl-C: x is the best theta of all evaluations, as for 12 and 13
        12      a product was NaN or infinite, or value or gradient however short the step
        13      the problem or the callback raised an exception (RuntimeWarning besides)
        14      ``patience`` iterations brought no better value on the validation samples
        ======  =====================================================================

        With a validation x is the best theta on it, whatever the status. ``success`` is True
        for status 0 alone. The names of the statuses are in
        ``refode.training``.

    Raises
    ------
    TypeError, ValueError
        Bad input, named; a start at which value or gradient is not finite; a checkpoint that
        is missing, damaged, or of another run, naming what differs. Once the first
        evaluation (and with ``terms`` the first call of costs) is made, nothing is raised.

    Notes
    -----
    BLAS is held to one thread, so that the bits depend neither on its number of threads nor on
    the thread that trains; refode's own sweeps use theirs all the same. BLAS's own number is
    given back at the end, when no other training runs, whatever ends it. The samples are fixed,
    so L-BFGS's values never rise. Values that fall by less than 1e-14 (relative to the larger of
    value and 1) an iteration have stopped falling, for L-BFGS, if the gradient promises no more
    than 1e-11. A step to where value or gradient are not finite, or above 1e150, was too long,
    and is halved.

    Examples
    --------
    >>> import refode
    >>> ode = refode.NeuralODE(refode.fields.Shallow(dim=2, width=8))
    >>> problem = refode.Supervised(ode, loss="logistic")
    >>> result = refode.train(problem, x, y, checkpoint="run.npz")  # doctest: +SKIP
    >>> result = refode.train(problem, x, y, checkpoint="run.npz", resume=True)  # doctest: +SKIP

    Stopped early, on batches of a thousand samples:

    >>> x, y = refode.datasets.two_moons(4000, seed=0, noise=0.3)
    >>> held_out = refode.datasets.two_moons(500, seed=1, noise=0.3)
    >>> result = refode.train(
    ...     problem, x, y, validation=held_out, patience=30, batch=1000, progress=False
    ... )
    >>> result.status == refode.training.PATIENCE, result.best_iteration < result.nit
    (True, True)
    """
    options = Options(
        max_iter=max_iter,
        progress=progress,
        callback=callback,
        method=method,
        tolerance=tolerance,
        memory=memory,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        terms=terms,
        patience=patience,
    )
    problem, seed = options.admit(problem), _validate.nonnegative_int("seed", seed)
    begin, samples = start(problem, theta0, seed), samples_of(problem, x, y, sample_weight)
    held = validation_of(problem, validation, samples, options.patience)
    origin = None if theta0 is not None else seed
    if adapt is not None:
        if batch is not None:
            raise ValueError(f"adapt: got a dict with batch={batch}, wanted one of the two")
        grids = adapted.plan_of(problem, samples, adapt, every, options)
        return adapted.Adapted(problem, grids, begin, origin, options, held).run()
    plan = plan_of(problem, samples, batch, every, begin, seed, options)
    if plan is not None:
        return Periods(problem, plan, begin, origin, options, held).run()
    return Run(problem, samples, begin, origin, options, validation=held).run()
