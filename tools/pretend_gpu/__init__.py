"""A machine with a CUDA device, pretended on one that has none: see `device` and `cuda`."""

from tools.pretend_gpu.cuda import pretended_gpu
from tools.pretend_gpu.device import CPU, GPU, where

__all__ = ["CPU", "GPU", "pretended_gpu", "where"]
