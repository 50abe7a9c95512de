"""Supervised learning on the device: the value and gradient of ``refode.Supervised``."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refode import _validate
from refode.costs.supervised import CODES
from refode.cuda import device
from refode.fields import Shallow
from refode.problems.supervised import Supervised

Array = np.ndarray
#: Threads of a block; the simulator's are threads of Python.
THREADS, SIMULATED_THREADS = 128, 4


class CudaData(NamedTuple):
    """Samples on the device: x (N, d - augment), targets (N, m) or labels (N,)."""

    x: Any
    targets: Any
    labels: Any
    n: int


class CudaSupervised:
    """Value and gradient of a supervised problem, in one kernel over whole trajectories.

    Parameters
    ----------
    problem : Supervised
        With a ``Shallow`` field and an explicit Runge-Kutta scheme. Its regularisers are read
        at every call. The whole tape is kept, whatever the ode's ``memory``.
    dtype : {"float64", "float32"}, optional
        Number type of the arrays on the device.
    tile : int, optional
        Samples S that a block of threads takes at a time.
    blocks : int, optional
        Blocks of threads; two for each multiprocessor if not given.
    threads : int, optional
        Threads of a block; 128 if not given, 4 in the simulator.

    Raises
    ------
    RuntimeError
        The package numba-cuda, the driver or the device is missing.
    TypeError, ValueError
        Naming the argument, what came and what was wanted.

    Notes
    -----
    Equations (D20), (D21), (D3), (D30). The bits depend on ``tile`` and ``blocks``, not on
    ``threads``, and are the same from run to run.
    """

    def __init__(
        self, problem: Supervised, dtype: Any = "float64", tile: int = 32,
        blocks: int | None = None, threads: int | None = None,
    ) -> None:  # fmt: skip
        self.problem = _validate.instance("problem", problem, Supervised)
        ode, field = problem.ode, problem.ode.field
        if not isinstance(field, Shallow) or type(field) is not Shallow:  # no subclass's formula
            kind = type(field).__name__
            raise ValueError(f"problem: got a field {kind}, wanted Shallow on the device")
        self._field = field
        plan = ode.plan()  # a Runge-Kutta scheme's: Shallow has no partitioned ones
        self.dtype = device.number_type(dtype)
        self.tile = _validate.positive_int("tile", tile)
        self._cuda = device.require()
        default = SIMULATED_THREADS if device.simulated() else THREADS
        self.blocks = _validate.positive_int(
            "blocks", 2 * device.processors() if blocks is None else blocks
        )
        self.threads = _validate.positive_int("threads", default if threads is None else threads)
        self._plan = plan
        tables = (*plan.scheme, plan.grid.t, plan.grid.h)
        self._scheme = tuple(self._sent(a) for a in tables)
        self._slots = self._cuda.to_device(np.ascontiguousarray(plan.grid.slots, dtype=np.int64))

    def to_device(self, x: Any, y: Any) -> CudaData:
        """Send samples to the device, to be used as often as wanted.

        Parameters
        ----------
        x : (N, d - augment)
        y : (N, m) for regression ((N,) will do for m = 1, from the host), (N,) labels
            otherwise
            Arrays with ``__cuda_array_interface__`` are taken as they are, without a copy: x
            and real targets in the object's ``dtype``, labels in int64. NaN in them is not
            looked for; labels are fetched once, to see that they are classes.

        Raises
        ------
        TypeError, ValueError
            As of ``Supervised``; also less free memory than ``memory(N)``.
        """
        problem, there = self.problem, device.on_device(x)
        if there:
            x = device.taken("x", x, self.dtype, (None, problem.n_inputs))
        else:
            x = problem._inputs(x)
        n = int(x.shape[0])
        targets, labels = self._checked_targets(y, n)
        device.check_memory(self.memory(n))
        x = x if there else self._sent(x)
        # one entry that nobody reads stands for what the loss does not have
        targets = np.zeros((1, 1), self.dtype) if targets is None else targets
        labels = np.zeros(1, np.int64) if labels is None else labels
        return CudaData(x, self._placed(targets), self._placed(labels), n)

    def memory(self, n: int) -> int:
        """Bytes on the device for n samples: data, tape, buffers and weights."""
        n = _validate.positive_int("n", n)
        p, itemsize = self.problem, self.dtype.itemsize
        target = 8 if p.loss != "regression" else itemsize * p.n_outputs
        room = sum(int(np.prod(shape)) for shape in self._shapes(n).values())
        sent = int(np.prod(self._E_shape())) + p._readout_layout.size
        return n * (itemsize * p.n_inputs + target) + itemsize * (room + sent)

    def value_and_gradient(self, theta: Array, data: CudaData) -> tuple[float, Array]:
        """Objective (8) and its gradient (p,) in float64, regularisers included.

        Parameters
        ----------
        theta : (p,)
        data : CudaData
            Of ``to_device``.

        Raises
        ------
        TypeError, ValueError
            As of ``Supervised``; also too little free memory for tape and buffers.
        """
        theta = self.problem._parameters(theta)
        data = _validate.instance("data", data, CudaData)
        ode, plan = self.problem.ode, self._plan
        weights = ode.stage_weights(theta[: ode.n_parameters], plan)
        E = ode.field.prepare(weights, False)
        sums = self._sums(theta, E, data)
        E_bar = sums[: E.size].reshape(E.shape)
        weights_bar = ode.field.prepare_adjoint(weights, False, E_bar)
        theta_bar = ode.stage_weights_adjoint(weights_bar, plan)
        penalty, penalty_bar = self.problem._regulariser(theta)
        gradient = np.concatenate([theta_bar, sums[E.size : -1]]) + penalty_bar
        return float(sums[-1] + penalty), gradient

    # --- insides -----------------------------------------------------------------------
    def _sums(self, theta: Array, E: Array, data: CudaData) -> Array:
        """E_bar, the readout's cotangent and the value, from the device, in float64."""
        from refode.cuda.sweeps import add_blocks, gradient_tiles

        problem, shapes = self.problem, self._shapes(data.n)
        device.check_memory(self.memory(data.n) - self._data_bytes(data))
        room = {name: self._cuda.device_array(s, self.dtype) for name, s in shapes.items()}
        room["sums"] = self._sent(np.zeros(shapes["sums"]))
        tail = theta[problem.ode.n_parameters :]
        readout = self._sent(tail if problem.readout else np.zeros(1))
        blocks = shapes["sums"][0]
        gradient_tiles[blocks, self.threads](
            *self._scheme, self._slots, self._sent(E), self._field.time,
            CODES[problem.loss], readout, problem.n_outputs if problem.readout else 0,
            data.targets, data.labels, 1.0 / data.n, data.x, *room.values(),
        )  # fmt: skip
        add_blocks[blocks, self.threads](room["sums"])
        return room["sums"].copy_to_host()[0].astype(np.float64)

    def _shapes(self, n: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the kernel's room, in the order of its arguments."""
        problem, S = self.problem, self.tile
        d, k, m = self._field.dim, self._field.width, problem.n_outputs
        blocks = min(self.blocks, -(-n // S))
        steps, stages = self._plan.grid.slots.shape
        total = int(np.prod(self._E_shape())) + problem._readout_layout.size + 1
        return {
            "states": (blocks, 3, d, S),
            "Fs": (blocks, stages, d, S),
            "Z_bars": (blocks, stages, d, S),
            "Ys": (blocks, steps, stages, d, S),
            "tapes": (blocks, steps, stages, k, S),
            "u_bars": (blocks, k, S),
            "Vs": (blocks, m, S),
            "values": (blocks, S),
            "sums": (blocks, total),
        }

    def _E_shape(self) -> tuple[int, int]:
        field = self._field
        d, k = field.dim, field.width
        return len(self._plan.s), 2 * d * k + k + d + (k if field.time else 0)

    def _data_bytes(self, data: CudaData) -> int:
        p = self.problem
        target = 8 if p.loss != "regression" else self.dtype.itemsize * p.n_outputs
        return data.n * (self.dtype.itemsize * p.n_inputs + target)

    def _checked_targets(self, y: Any, n: int) -> tuple[Any, Any]:
        """Targets and labels, one of them None; on the device if y is there already."""
        problem = self.problem
        if problem.loss == "regression":
            if device.on_device(y):
                return device.taken("y", y, self.dtype, (n, problem.n_outputs)), None
            return problem._targets(y, n).real.astype(self.dtype), None
        if not device.on_device(y):
            return None, problem._targets(y, n).labels
        labels = device.taken("y", y, np.dtype(np.int64), (n,))
        problem._targets(labels.copy_to_host(), n)
        return None, labels

    def _placed(self, array: Any) -> Any:
        """An array on the device, sent unless it is there."""
        return array if device.on_device(array) else self._cuda.to_device(array)

    def _sent(self, array: Array) -> Any:
        return self._cuda.to_device(np.ascontiguousarray(array, dtype=self.dtype))
