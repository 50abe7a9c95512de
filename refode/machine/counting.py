"""Arrays without reference counts, and a counter that threads share."""

from __future__ import annotations

import threading
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from refode.machine.compile import JIT


def _without_owner(context: Any, builder: Any, ty: Any, value: Any) -> Any:
    """The same arrays, with nobody to count references for."""
    if isinstance(ty, types.Array):
        array = context.make_array(ty)(context, builder, value=value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(ty, types.BaseTuple):
        members = [
            _without_owner(context, builder, t, builder.extract_value(value, i))
            for i, t in enumerate(ty)
        ]
        return context.make_tuple(builder, ty, members)
    return value


if JIT:

    @intrinsic
    def uncounted(typingctx: Any, arrays: Any) -> Any:
        """Arrays, or tuples of them, whose views are free of reference counts.

        Every view of a counted array costs two atomic operations, and a stage of a small
        block makes dozens of views. Whoever calls this keeps the arrays alive: ``hold``
        them after their last use.
        """

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _without_owner(context, builder, signature.args[0], args[0])

        return arrays(arrays), codegen

    @intrinsic
    def take(typingctx: Any, counter: Any) -> Any:
        """counter[0]++, atomically: the next task for whichever thread asks first."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, value=args[0])
            one = context.get_constant(types.int64, 1)
            return builder.atomic_rmw("add", array.data, one, "monotonic")

        return types.int64(counter), codegen

    @intrinsic
    def hold(typingctx: Any, arrays: Any) -> Any:
        """Nothing but a last use, up to which arrays stay alive."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_dummy_value()

        return types.none(arrays), codegen

else:
    _taking = threading.RLock()  # a signal handler may come in the middle of it

    def take(counter: Any) -> int:
        """counter[0]++, by one thread at a time."""
        with _taking:
            counter[0] += 1
            return int(counter[0]) - 1

    def uncounted(arrays: Any) -> Any:
        """The interpreter counts by itself."""
        return arrays

    def hold(arrays: Any) -> None:
        """The interpreter counts by itself."""
