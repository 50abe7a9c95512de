"""How kernels become machine code: compiled apart, cached, dispatched, run on threads."""
