"""Butcher tableaus of Runge-Kutta methods, in exact fractions.

Each method is written as the table its source prints, next to that source; the table is parsed,
so what a reader compares with the paper is what runs. Above the rule a line is `c_i | a_i1 ...`,
entries left out on the right are zero; below it stand the weights b and, where there are any,
the embedded weights. tests/test_tableaus.py checks every rooted-tree order condition.
Entries that are no fractions have 28 decimals.
"""

from __future__ import annotations

from fractions import Fraction

from . import _validate
from ._tableau import ImplicitTableau, RosenbrockTableau, Tableau

__all__ = ["ImplicitTableau", "RosenbrockTableau", "Tableau", "get", "names"]

# Tables, drawn.
# fmt: off
_EULER = Tableau.from_text("euler", 1, (
    "L. Euler, Institutionum calculi integralis, vol. 1, St Petersburg, 1768, sect. 650"), """
    0 |
    --+--
      | 1
    """)

_MIDPOINT = Tableau.from_text("midpoint", 2, (
    "C. Runge, Ueber die numerische Aufloesung von Differentialgleichungen, Math. Ann. 46 (1895), "
    "167-178"), """
    0   |
    1/2 | 1/2
    ----+--------
        | 0    1
    """)

_HEUN = Tableau.from_text("heun", 2, (
    "K. Heun, Neue Methoden zur approximativen Integration der Differentialgleichungen einer "
    "unabhaengigen Veraenderlichen, Z. Math. Phys. 45 (1900), 23-38; the trapezoidal rule with an "
    "Euler predictor"), """
    0 |
    1 | 1
    --+---------
      | 1/2  1/2
    """)

_RALSTON = Tableau.from_text("ralston", 2, (
    "A. Ralston, Runge-Kutta methods with minimum error bounds, Math. Comp. 16 (1962), "
    "431-437"), """
    0   |
    2/3 | 2/3
    ----+---------
        | 1/4  3/4
    """)

_SSPRK3 = Tableau.from_text("ssprk3", 3, (
    "C.-W. Shu, S. Osher, Efficient implementation of essentially non-oscillatory shock-capturing "
    "schemes, J. Comput. Phys. 77 (1988), 439-471"), """
    0   |
    1   | 1
    1/2 | 1/4  1/4
    ----+--------------
        | 1/6  1/6  2/3
    """)

_KUTTA3 = Tableau.from_text("kutta3", 3, (
    "W. Kutta, Beitrag zur naeherungsweisen Integration totaler Differentialgleichungen, Z. Math. "
    "Phys. 46 (1901), 435-453"), """
    0   |
    1/2 | 1/2
    1   |  -1    2
    ----+--------------
        | 1/6  2/3  1/6
    """)

_BOGACKI_SHAMPINE = Tableau.from_text("bogacki_shampine", 3, (
    "P. Bogacki, L. F. Shampine, A 3(2) pair of Runge-Kutta formulas, Appl. Math. Lett. 2 (1989), "
    "321-325"), """
    0   |
    1/2 | 1/2
    3/4 |   0   3/4
    1   | 2/9   1/3  4/9
    ----+--------------------
        | 2/9   1/3  4/9    0
        | 7/24  1/4  1/3  1/8
    """, embedded_order=2)

_RK4 = Tableau.from_text("rk4", 4, (
    "W. Kutta, Beitrag zur naeherungsweisen Integration totaler Differentialgleichungen, Z. Math. "
    "Phys. 46 (1901), 435-453; the classical method"), """
    0   |
    1/2 | 1/2
    1/2 |   0  1/2
    1   |   0    0    1
    ----+-------------------
        | 1/6  1/3  1/3  1/6
    """)

_RK4_38 = Tableau.from_text("rk4_38", 4, (
    "W. Kutta, Beitrag zur naeherungsweisen Integration totaler Differentialgleichungen, Z. Math. "
    "Phys. 46 (1901), 435-453; the 3/8 rule, which torchdiffeq calls 'rk4'"), """
    0   |
    1/3 |  1/3
    2/3 | -1/3    1
    1   |    1   -1    1
    ----+--------------------
        |  1/8  3/8  3/8  1/8
    """)

_DOPRI5 = Tableau.from_text("dopri5", 5, (
    "J. R. Dormand, P. J. Prince, A family of embedded Runge-Kutta formulae, J. Comput. Appl. "
    "Math. 6 (1980), 19-26; RK5(4)7M"), """
    0    |
    1/5  |        1/5
    3/10 |       3/40         9/40
    4/5  |      44/45       -56/15        32/9
    8/9  | 19372/6561  -25360/2187  64448/6561  -212/729
    1    |  9017/3168      -355/33  46732/5247    49/176    -5103/18656
    1    |     35/384            0    500/1113   125/192     -2187/6784     11/84
    -----+----------------------------------------------------------------------------
         |     35/384            0    500/1113   125/192     -2187/6784     11/84     0
         | 5179/57600            0  7571/16695   393/640  -92097/339200  187/2100  1/40
    """, embedded_order=4)

# The source prints sixteen significant digits, but neither the first column of A (its entries are
# c_i minus the rest of the row, here to the last digit that difference has) nor the embedded
# weights themselves: it prints their differences from b to fifteen decimals, and 1/66.
_TSIT5 = Tableau.from_text("tsit5", 5, (
    "Ch. Tsitouras, Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying "
    "assumption, Comput. Math. Appl. 62 (2011), 770-775"), """
    0                  |
    0.161              |  0.161
    0.327              | -0.008480655492357    0.335480655492357
    0.9                |  2.897153057105494   -6.359448489975075  4.362295432869581
    0.9800255409045097 |  5.32586482843925895 -11.74888356406283  7.495539342889836  -0.09249506636175525
    1                  |  5.86145544294642038 -12.92096931784711  8.159367898576159  -0.071584973281401   -0.02826905039406838
    1                  |  0.09646076681806523  0.01               0.4798896504144996  1.379008574103742   -3.290069515436081  2.324710524099774
    -------------------+----------------------------------------------------------------------------------------------------------------------
                       |  0.09646076681806523  0.01               0.4798896504144996  1.379008574103742   -3.290069515436081  2.324710524099774  0
                       |  0.09468075576583923  0.009183565540343  0.4877705284247616  1.234297566930479   -2.707712349983526  1.866628418170587  1/66
    """, embedded_order=4, exact=False, digits=16)  # noqa: E501

_BUTCHER6 = Tableau.from_text("butcher6", 6, (
    "J. C. Butcher, On Runge-Kutta processes of high order, J. Austral. Math. Soc. 4 (1964), "
    "179-194"), """
    0   |
    1/3 |    1/3
    2/3 |      0    2/3
    1/3 |   1/12    1/3  -1/12
    1/2 |  -1/16    9/8  -3/16   -3/8
    1/2 |      0    9/8   -3/8   -3/4    1/2
    1   |   9/44  -9/11  63/44  18/11      0  -16/11
    ----+--------------------------------------------------
        | 11/120      0  27/40  27/40  -4/15   -4/15  11/120
    """)

_FEHLBERG8 = Tableau.from_text("fehlberg8", 8, (
    "E. Fehlberg, Classical fifth-, sixth-, seventh-, and eighth-order Runge-Kutta formulas with "
    "stepsize control, NASA Technical Report R-287, 1968; RK7(8) with the eighth-order weights, "
    "which use twelve of the thirteen stages"), """
    0    |
    2/27 |       2/27
    1/9  |       1/36  1/12
    1/6  |       1/24     0     1/8
    5/12 |       5/12     0  -25/16     25/16
    1/2  |       1/20     0       0       1/4        1/5
    5/6  |    -25/108     0       0   125/108     -65/27   125/54
    1/6  |     31/300     0       0         0     61/225     -2/9     13/900
    2/3  |          2     0       0     -53/6     704/45   -107/9      67/90      3
    1/3  |    -91/108     0       0    23/108   -976/135   311/54     -19/60   17/6  -1/12
    1    |  2383/4100     0       0  -341/164  4496/1025  -301/82  2133/4100  45/82  45/164  18/41
    0    |      3/205     0       0         0          0    -6/41     -3/205  -3/41    3/41   6/41
    1    | -1777/4100     0       0  -341/164  4496/1025  -289/82  2193/4100  51/82  33/164  12/41  0  1
    -----+-------------------------------------------------------------------------------------
         | 0       0  0  0  0  34/105  9/35  9/35  9/280  9/280       0  41/840  41/840
         | 41/840  0  0  0  0  34/105  9/35  9/35  9/280  9/280  41/840       0       0
    """, embedded_order=7)  # noqa: E501

_IMPLICIT_MIDPOINT = ImplicitTableau.from_text("implicit_midpoint", 2, (
    "E. Hairer, G. Wanner, Solving Ordinary Differential Equations II, 2nd ed., Springer, 1996, "
    "IV.3; the Gauss method of one stage, A-stable and symplectic"), """
    1/2 | 1/2
    ----+----
        | 1
    """)

_SDIRK2 = ImplicitTableau.from_text("sdirk2", 2, (
    "R. Alexander, Diagonally implicit Runge-Kutta methods for stiff O.D.E.'s, SIAM J. Numer. "
    "Anal. 14 (1977), 1006-1021; gamma = 1 - 1/sqrt(2), L-stable"), """
    0.2928932188134524755991556379 | 0.2928932188134524755991556379
    1                              | 0.7071067811865475244008443621  0.2928932188134524755991556379
    -------------------------------+---------------------------------------------------------------
                                   | 0.7071067811865475244008443621  0.2928932188134524755991556379
    """, exact=False, digits=28)

# gamma is the root 0.4358... of 1/6 - 3 gamma/2 + 3 gamma^2 - gamma^3
_SDIRK3 = ImplicitTableau.from_text("sdirk3", 3, (
    "R. Alexander, Diagonally implicit Runge-Kutta methods for stiff O.D.E.'s, SIAM J. Numer. "
    "Anal. 14 (1977), 1006-1021; L-stable"), """
    0.435866521508458999416019451  | 0.435866521508458999416019451
    0.7179332607542294997080097255 | 0.2820667392457705002919902745  0.435866521508458999416019451
    1                              | 1.208496649176010070336477684  -0.644363170684469069752497135  0.435866521508458999416019451
    -------------------------------+----------------------------------------------------------------------------------------------
                                   | 1.208496649176010070336477684  -0.644363170684469069752497135  0.435866521508458999416019451
    """, exact=False, digits=28)  # noqa: E501

_GAUSS2 = ImplicitTableau.from_text("gauss2", 4, (
    "E. Hairer, G. Wanner, Solving Ordinary Differential Equations II, 2nd ed., Springer, 1996, "
    "IV.5; the Gauss method of two stages, A-stable and symplectic"), """
    0.2113248654051871177454256097 | 0.25                           -0.0386751345948128822545743903
    0.7886751345948128822545743903 | 0.5386751345948128822545743903  0.25
    -------------------------------+---------------------------------------------------------------
                                   | 0.5                             0.5
    """, exact=False, digits=28)

_GAMMA = Fraction("0.2928932188134524755991556379")
_ROS2 = RosenbrockTableau.from_text("ros2", 2, (
    "J. G. Verwer, E. J. Spee, J. G. Blom, W. Hundsdorfer, A second-order Rosenbrock method "
    "applied to photochemical dispersion problems, SIAM J. Sci. Comput. 20 (1999), 1456-1480; "
    "gamma = 1 - 1/sqrt(2), L-stable"), """
    0 |
    1 | 1
    --+---------
      | 1/2  1/2
    """, exact=False, digits=28, G=((_GAMMA, 0), (-2 * _GAMMA, _GAMMA)))

_EXPLICIT = {tableau.name: tableau for tableau in (
    _EULER, _MIDPOINT, _HEUN, _RALSTON, _SSPRK3, _KUTTA3, _BOGACKI_SHAMPINE, _RK4, _RK4_38, _DOPRI5,
    _TSIT5, _BUTCHER6, _FEHLBERG8)}
_IMPLICIT: dict[str, Tableau] = {tableau.name: tableau for tableau in (
    _IMPLICIT_MIDPOINT, _SDIRK2, _ROS2, _SDIRK3, _GAUSS2)}
_TABLEAUS: dict[str, Tableau] = {**_EXPLICIT, **_IMPLICIT}
# fmt: on


def names(kind: str = "all") -> tuple[str, ...]:
    """The names that `get` knows, in order of rising order: explicit ones, then implicit ones.

    Parameters
    ----------
    kind : {"all", "explicit", "implicit"}, optional
        Rosenbrock methods are among the implicit ones.

    Raises
    ------
    TypeError, ValueError
        Another kind.

    Examples
    --------
    >>> names("implicit")
    ('implicit_midpoint', 'sdirk2', 'ros2', 'sdirk3', 'gauss2')
    """
    known = {"all": _TABLEAUS, "explicit": _EXPLICIT, "implicit": _IMPLICIT}
    return tuple(known[_validate.choice("kind", kind, tuple(known))])


def get(name: str | Tableau) -> Tableau:
    """The tableau of that name; a `Tableau` is returned as it is.

    Raises
    ------
    TypeError
        `name` is neither a string nor a `Tableau`.
    ValueError
        The name is unknown; the message lists the known ones.

    Examples
    --------
    >>> rk4 = get("rk4")
    >>> rk4.order, rk4.n_stages
    (4, 4)
    >>> [str(b) for b in rk4.b]
    ['1/6', '1/3', '1/3', '1/6']
    """
    if isinstance(name, Tableau):
        return name
    return _TABLEAUS[_validate.choice("name", name, _TABLEAUS)]
