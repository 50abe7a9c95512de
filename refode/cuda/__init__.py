"""The same sweeps on an NVIDIA GPU, docs/cuda.md. Needs the extra ``cuda``.

numba.cuda is imported when the first ``CudaSupervised`` is made, not with this package.
"""

from refode.cuda.supervised import CudaData, CudaSupervised

__all__ = ["CudaData", "CudaSupervised"]
