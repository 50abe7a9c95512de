"""Arrays without reference counts, and counters that threads share."""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Any

from llvmlite import ir
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
    def added(typingctx: Any, counters: Any, i: Any, n: Any) -> Any:
        """counters[i] as it was, n more from now on; who sees it sees what was written before."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, value=args[0])
            place = builder.gep(array.data, [args[1]])
            return builder.atomic_rmw("add", place, args[2], "seq_cst")

        return types.int64(counters, types.int64, types.int64), codegen

    @intrinsic
    def put(typingctx: Any, counters: Any, i: Any, n: Any) -> Any:
        """counters[i] = n at once, after everything that was written before."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, value=args[0])
            builder.atomic_rmw("xchg", builder.gep(array.data, [args[1]]), args[2], "seq_cst")
            return context.get_dummy_value()

        return types.none(counters, types.int64, types.int64), codegen

    @intrinsic
    def given_way(typingctx: Any, address: Any) -> Any:
        """Let another thread have the processor, by a call of ``WAY``."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            with cgutils.if_likely(builder, cgutils.is_not_null(builder, args[0])):
                kind = ir.FunctionType(ir.IntType(32), [])
                builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
            return context.get_dummy_value()

        return types.none(types.int64), codegen

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

    def added(counters: Any, i: int, n: int) -> int:
        """counters[i] as it was, n more from now on, by one thread at a time."""
        with _taking:
            before = int(counters[i])
            counters[i] += n
            return before

    def put(counters: Any, i: int, n: int) -> None:
        """counters[i] = n, by one thread at a time."""
        with _taking:
            counters[i] = n

    def given_way(address: int) -> None:
        """Let another thread run."""
        time.sleep(0)

    def uncounted(arrays: Any) -> Any:
        """The interpreter counts by itself."""
        return arrays

    def hold(arrays: Any) -> None:
        """The interpreter counts by itself."""


def _way() -> int:
    """Address of the system's function that gives up the rest of a time slice; 0 without one."""
    try:
        library = ctypes.CDLL("kernel32") if hasattr(ctypes, "WinDLL") else ctypes.CDLL(None)
        name = "SwitchToThread" if hasattr(ctypes, "WinDLL") else "sched_yield"
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except (OSError, AttributeError):
        return 0


#: Where compiled code finds it in this process.
WAY = _way()
