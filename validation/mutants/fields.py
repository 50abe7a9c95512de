"""Bugs planted in fields, activations and the potential network."""

from __future__ import annotations

from validation.mutants.mutant import Mutant

_COLUMN = '            parts.append(w["W0"][:, :, -1])\n'
_INNER = '        W0 = w["W0"][:, :, : self.dim + self.inputs]\n        n = len(weights)\n'
_PAIRS = "        G = K0 @ K0.transpose(0, 2, 1)\n        k, l, twice = _pairs_of(self.width)"

FIELDS: tuple[Mutant, ...] = (
    Mutant(
        "time-first",
        "the first column of W0 is the time's",
        "fields.shallow",
        _COLUMN,
        _COLUMN.replace("-1", "0"),
        (("time-first", ""),),
        "slopes",
        more=((_INNER, _INNER.replace(": self.dim", "int(self.time) : self.time + self.dim")),),
    ),
    Mutant(
        "tanh-slope",
        "tanh' = 1 - a in the trace",
        "fields.shallow",
        "            tr[s] += (1.0 - a[j, s] * a[j, s]) * M[j]\n",
        "            tr[s] += (1.0 - a[j, s]) * M[j]\n",
        (),
        "trace",
    ),
    Mutant(
        "tanh-slope-adjoint",
        "tanh' = 1 - a on the way back",
        "fields.shallow",
        "            u_bar[j, s] *= 1.0 - a[j, s] * a[j, s]\n",
        "            u_bar[j, s] *= 1.0 - a[j, s]\n",
        (),
        "gradient",
    ),
    Mutant(
        "bias-detached",
        "b1 has no gradient",
        "fields.shallow",
        "    add_row_sums(segment(e_bar, o_b1, field.d), F_bar)\n",
        "",
        (("detached", "b1"),),
        "gradient",
    ),
    Mutant(
        "weight-transposed",
        "A^T z in place of A z",
        "fields.layer",
        "    multiply(W, Z, U)\n",
        "    multiply_transposed(W, Z, U)\n",
        (("transposed-A", ""),),
        "slopes",
        more=(
            (
                "add_transposed_product, multiply\n",
                "add_transposed_product, multiply, multiply_transposed\n",
            ),
        ),
    ),
    Mutant(
        "adjoint-not-transposed",
        "A u in place of A^T u on the way back",
        "fields.affine",
        "        matrix(e, 0, d, d),\n        e[o_w:o_M],\n",
        "        matrix(e, 0, d, d).T,\n        e[o_w:o_M],\n",
        (("adjoint-not-transposed", ""),),
        "x_bar",
    ),
    Mutant(
        "time-column-detached",
        "the time's column has no gradient",
        "fields.layer",
        "            w_bar[j] += t * total\n",
        "            w_bar[j] += 0.0 * total\n",
        (("detached", ""), ("detached-slice", "")),
        "gradient",
    ),
    Mutant(
        "gamma-sign",
        "K - K^T + gamma I",
        "fields.antisymmetric",
        "K.transpose(0, 2, 1) - self.gamma * np.eye(d)",
        "K.transpose(0, 2, 1) + self.gamma * np.eye(d)",
        (("gamma-sign", ""),),
        "slopes",
    ),
    Mutant(
        "symmetric-adjoint",
        "the cotangent of K - K^T is A_bar + A_bar^T",
        "fields.antisymmetric",
        "        K_bar = A_bar - A_bar.transpose(0, 2, 1)\n",
        "        K_bar = A_bar + A_bar.transpose(0, 2, 1)\n",
        (),
        "theta_bar",
    ),
    Mutant(
        "parabolic-sign",
        "+K^T sigma(K z + b)",
        "fields.parabolic",
        "            F[i, s] = -F[i, s]\n",
        "            F[i, s] = F[i, s]\n",
        (("field-sign", ""), ("sign", "")),
        "slopes",
    ),
    Mutant(
        "parabolic-trace-sign",
        "the trace is that of +K^T sigma(K z + b)",
        "fields.parabolic",
        "            parts.append(-(K * K).sum(axis=2))\n",
        "            parts.append((K * K).sum(axis=2))\n",
        (("sign", "trace"), ("trace-sign", "")),
        "trace",
    ),
    Mutant(
        "hamiltonian-transposed",
        "K in place of K^T for the second half",
        "fields.hamiltonian",
        "multiply_transposed(K, Z[:n], a)  # [2]\n",
        "multiply(K, Z[:n], a)  # [2]\n",
        (("hamiltonian-K-twice", ""),),
        "slopes",
    ),
    Mutant(
        "bias-twice",
        "the last layer's bias is added twice",
        "fields.mlp",
        "    add_column(F, _bias(field, e, n_hidden))\n",
        "    add_column(F, _bias(field, e, n_hidden))\n"
        "    add_column(F, _bias(field, e, n_hidden))\n",
        (),
        "slopes",
    ),
    Mutant(
        "curvature-missing",
        "sigma'' is missing on the way back from the trace",
        "fields.mlp",
        "            add_curvature(field.codes[i], a, D, D_bar, u_bar)\n",
        "            pass\n",
        (("curvature-missing", ""), ("trace-by-state-detached", "")),
        "gradient",
    ),
)

ACTIVATIONS: tuple[Mutant, ...] = (
    Mutant(
        "single-precision",
        "tanh is computed in single precision",
        "machine.activations",
        "        return complex(a, x.imag * (1.0 - a * a))\n    return math.tanh(x)\n",
        "        return complex(a, x.imag * (1.0 - a * a))\n"
        "    return float(np.float32(math.tanh(x)))\n",
        (("precision", "float32"),),
        "slopes",
    ),
    Mutant(
        "softplus-curvature",
        "softplus'' = s (1 + s)",
        "machine.activations",
        "s[j, i] * (1.0 - s[j, i]) * s_bar[j, i]",
        "s[j, i] * (1.0 + s[j, i]) * s_bar[j, i]",
        (),
        "x_bar",
    ),
    Mutant(
        "log-cosh",
        "log cosh in place of log(2 cosh)",
        "machine.activations",
        "    return abs(x) + math.log1p(math.exp(-2.0 * abs(x)))\n",
        "    return abs(x) + math.log1p(math.exp(-2.0 * abs(x))) - math.log(2.0)\n",
        (("log-cosh", ""),),
        "phi",
    ),
)

POTENTIALS: tuple[Mutant, ...] = (
    Mutant(
        "not-symmetrised",
        "the quadratic's matrix is A, not (A + A^T)/2",
        "fields.potential.network",
        '            S = 0.5 * (v["A"] + v["A"].transpose(0, 2, 1))\n',
        '            S = v["A"]\n',
        (("not-symmetrised", ""),),
        "phi_gradient",
    ),
    Mutant(
        "potential-step-one",
        "the potential's layers take steps of 1",
        "fields.potential.layout",
        "    return 1.0 / f.M if f.M > 0 else 0.0\n",
        "    return 1.0 if f.M > 0 else 0.0\n",
        (("resnet-step-one", ""),),
        "phi",
    ),
    Mutant(
        "laplacian-with-time",
        "the Laplacian takes in the time",
        "fields.potential.network",
        _PAIRS,
        f'        K0 = v["K0"]\n{_PAIRS}',
        (("trace-with-time", ""),),
        "phi_laplacian",
        more=(
            ("np.trace(A[:, :d, :d], axis1=1, axis2=2)", "np.trace(A, axis1=1, axis2=2)"),
            ("np.sum(A[:, :, :d] ** 2, axis=(1, 2)))", "np.sum(A**2, axis=(1, 2)))"),
            ("return C, np.sum(C**2, axis=2)", 'return C, np.sum(v["K0"] ** 2, axis=2)'),
        ),
    ),
    Mutant(
        "potential-time-bias",
        "the time's entry of b is missing in dPhi/dt",
        "fields.potential.kernels",
        "Gt[s] = e[o.bt]\n",
        "Gt[s] = 0.0\n",
        (),
        "phi_time",
    ),
)

FIELD: tuple[Mutant, ...] = (*FIELDS, *ACTIVATIONS, *POTENTIALS)
