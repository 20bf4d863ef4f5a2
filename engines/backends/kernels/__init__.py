"""The point-wise operations of `networks.realtime` on a CPU, as fused loops that numba compiles: kernels.

The network defines what they compute, and the parity gate compares them with it, as it does every graph (see `parity`).
Most process a band of rows, first to last - 1, so that several threads share a frame; the result does not depend on
their number. All steps of a row are done while it is in the processor's cache, whereas a graph writes every
intermediate plane to memory and reads it back.

Kernels take arrays and numbers only, allocate nothing and raise nothing, so that the compiled code needs no numba
runtime. They also run as plain Python, slowly. Of a band the first arguments are its rows and its own scratch memory.
"""
