"""Triton kernels for CUDA devices. Imported only where triton is installed: `core_model/kernels/on_gpu.py` decides.

On a machine without a GPU, Triton's interpreter runs them (TRITON_INTERPRET=1, set before the first import), and
`python -m core_model.kernels.gpu.ahead` compiles them for one.
"""
