"""Shallow neural ODEs in plain NumPy, as an adapter for `refode check`, right and wrong."""

import numpy as np

from refode.check import Skip


class Adapter:
    """A method for every quantity that there is; what has none is skipped."""

    precision = "float64"

    def trajectory(self, case):
        if case.field["type"] != "Shallow" or case.basis["type"] != "Constant":
            raise Skip("shallow fields with constant weights alone")
        w = {name: array[0] for name, array in case.theta.items()}

        def f(t, z):
            if case.field["time"]:  # the last input
                z = np.hstack([z, np.full((len(z), 1), t)])
            return np.tanh(z @ w["W0"].T + w["b0"]) @ w["W1"].T + w["b1"]

        A, b, c = self.scheme(case)
        t, z, states = case.along[0], case.x, [case.x]
        for _ in range(case.n_steps):
            k = np.zeros((len(b), *z.shape))
            for i in range(len(b)):
                k[i] = f(t + c[i] * case.h, z + case.h * np.tensordot(A[i], k, 1))
            t, z = t + case.h, z + case.h * np.tensordot(b, k, 1)
            states.append(z)
        return np.array(states)

    def scheme(self, case):
        return case.scheme.A, case.scheme.b, case.scheme.c


class ThreeEighths(Adapter):
    """Where the classical scheme is asked for, Kutta's other one, as some codes have it."""

    def scheme(self, case):
        if case.scheme.name != "rk4":
            return super().scheme(case)
        A = np.array([[0, 0, 0, 0], [1 / 3, 0, 0, 0], [-1 / 3, 1, 0, 0], [1, -1, 1, 0]])
        return A, np.array([1, 3, 3, 1]) / 8, np.array([0, 1 / 3, 2 / 3, 1])


adapter, three_eighths = Adapter(), ThreeEighths()
