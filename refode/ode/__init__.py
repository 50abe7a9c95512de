"""Neural ODEs: where a solver steps, what it computes, on which device."""
