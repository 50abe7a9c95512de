"""From the CPU's descriptions to bodies and arrays on the device."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from refode.costs.contract import Cotangent
from refode.costs.flow import FlowCost
from refode.costs.game import GameCost, InverseCost
from refode.costs.supervised import SupervisedCost
from refode.costs.targets import DenseTarget, GivenTarget
from refode.costs.weights import WeightedLoss
from refode.cuda import costs, dynamics, game_costs, game_dynamics
from refode.cuda import losses as losses  # which registers its bodies
from refode.cuda.contract import CostBodies, DynamicsBodies, FieldBodies
from refode.cuda.energies import energy_bodies
from refode.cuda.mlp import mlp
from refode.cuda.ops import Ops
from refode.cuda.potential import potential
from refode.cuda.registry import BY_SAMPLE, class_name, found, register
from refode.cuda.shallow import shallow
from refode.cuda.targets import DenseOnDevice, target_bodies
from refode.cuda.weights import weighted_loss
from refode.fields.mlp import MLPSpec
from refode.fields.potential.layout import PotentialSpec
from refode.fields.shallow import NarrowShallowSpec, ShallowSpec
from refode.ode.placement import Resident
from refode.sweeps.dynamics import Flow, Hutchinson, LogDet, Plain
from refode.sweeps.game_dynamics import GameDynamics

register("field", ShallowSpec)(shallow)
register("field", NarrowShallowSpec)(shallow)
register("field", MLPSpec)(mlp)
register("field", PotentialSpec)(potential)
register("dynamics", Plain)(dynamics.plain)
register("dynamics", LogDet)(dynamics.log_det)
register("dynamics", Flow)(dynamics.flow)
register("dynamics", Hutchinson)(dynamics.hutchinson)
register("cost", FlowCost)(costs.flow)
register("cost", Cotangent, by_sample={"z_bar": 1})(costs.cotangent)
BY_SAMPLE.update({(cls, "weights"): 0 for cls in (FlowCost, GameCost, WeightedLoss)})


class SupervisedOnDevice(NamedTuple):
    """``SupervisedCost`` with W (m, d) and b (m,) one after the other, m = 0 without them."""

    loss: Any
    m: int
    readout: Any
    scale: float


def field_bodies(ops: Ops, description: Any) -> FieldBodies:
    """Bodies of a field; ValueError where the device has none."""
    made = found("field", description)(ops)
    sizes_alone = all(isinstance(part, int) for part in description)
    return _frozen(made, description) if ops.name == "tile" and sizes_alone else made


@functools.cache
def _frozen(made: FieldBodies, f: Any) -> FieldBodies:
    """Bodies for one description, whose sizes are known to the compiler.

    It then unrolls the loops over them, and keeps in registers what would be read again.
    """
    field_rhs, field_rhs_adjoint = made.rhs, made.rhs_adjoint
    field_tangent, field_tangent_adjoint = made.tangent, made.tangent_adjoint

    @cuda.jit(device=True)
    def rhs(_, e, t, Z, F, tr, tape):
        field_rhs(f, e, t, Z, F, tr, tape)

    @cuda.jit(device=True)
    def rhs_adjoint(_, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch):
        field_rhs_adjoint(f, e, t, Z, tape, F_bar, tr_bar, Z_bar, e_bar, scratch)

    if made.tangent is None:
        return FieldBodies(rhs, rhs_adjoint, made.rows)

    @cuda.jit(device=True)
    def tangent(_, e, t, Z, V, F, FV, tape):
        field_tangent(f, e, t, Z, V, F, FV, tape)

    @cuda.jit(device=True)
    def tangent_adjoint(_, e, t, Z, V, tape, F_bar, FV_bar, Z_bar, e_bar, scratch):
        field_tangent_adjoint(f, e, t, Z, V, tape, F_bar, FV_bar, Z_bar, e_bar, scratch)

    return FieldBodies(rhs, rhs_adjoint, made.rows, tangent, tangent_adjoint, made.tangent_rows)


def dynamics_bodies(ops: Ops, description: Any) -> DynamicsBodies:
    """Bodies of a right-hand side."""
    if isinstance(description, GameDynamics):
        return game_dynamics.game(ops, energy_bodies(ops, description.energy))
    make = found("dynamics", description)
    field = field_bodies(ops, description.field)
    if isinstance(description, Hutchinson) and field.tangent is None:
        raise ValueError(
            f"trace: got Hutchinson's estimate with device='cuda' and the field "
            f"{class_name(type(description.field))}, which has no tangent there, wanted 'exact', "
            "or device='cpu'"
        )
    return make(ops, field)


def cost_bodies(ops: Ops, cost: Any) -> CostBodies:
    """Bodies of a cost."""
    if isinstance(cost, FlowCost):
        return costs.flow(ops, cost.weights is not None)
    if isinstance(cost, GameCost):
        weighted = cost.weights is not None
        return game_costs.game_cost(ops, target_bodies(ops, cost.target), weighted)
    if isinstance(cost, InverseCost):
        return game_costs.inverse_cost(ops, target_bodies(ops, cost.initial))
    if isinstance(cost, SupervisedCost):
        return costs.supervised(ops, _loss_body(ops, cost.loss))
    return found("cost", cost)(ops)


def _loss_body(ops: Ops, about: Any) -> Any:
    if isinstance(about, WeightedLoss):
        return weighted_loss(_loss_body(ops, about.loss))
    return found("loss", about)(ops)


def on_device(description: Any, send: Any) -> Any:
    """A description with its arrays, those of its parts too, sent by ``send``."""
    if isinstance(description, SupervisedCost):
        c = description
        readout = np.concatenate([c.W.ravel(), c.b]) if len(c.W) else np.zeros(1)
        return SupervisedOnDevice(on_device(c.loss, send), len(c.W), send(readout), float(c.scale))
    if isinstance(description, FlowCost | GameCost) and description.weights is None:
        description = description._replace(weights=np.ones(1))  # which nobody reads
    if isinstance(description, GivenTarget):
        return GivenTarget(*(send(_some(part)) for part in description))
    if isinstance(description, DenseTarget):
        peaks, means, inverse = description
        return DenseOnDevice(send(peaks), send(means), send(inverse.ravel()))
    if isinstance(description, tuple):
        parts = [on_device(part, send) for part in description]
        return type(description)(*parts) if hasattr(description, "_fields") else tuple(parts)
    if isinstance(description, np.ndarray | Resident) or hasattr(description, "copy_to_host"):
        return send(description)
    if isinstance(description, np.generic):
        return description.item()
    return description


def _some(array: Any) -> Any:
    """The array, or one entry that nobody reads: there are no empty arrays on a device."""
    if 0 not in array.shape:
        return array
    return np.zeros((1,) * array.ndim, array.dtype)


def of_samples(description: Any, start: int, stop: int) -> Any:
    """A cost of the samples start, ..., stop - 1 alone."""
    if not (isinstance(description, tuple) and hasattr(description, "_fields")):
        return description
    parts = []
    for name, part in zip(description._fields, description, strict=True):
        axis = BY_SAMPLE.get((type(description), name))
        if axis is None or part is None:
            parts.append(of_samples(part, start, stop))
        elif axis == 0:
            parts.append(part[start:stop])
        else:
            parts.append(part[:, start:stop])
    return type(description)(*parts)
