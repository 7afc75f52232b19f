"""Kernels that move KV: Triton on a GPU, torch elsewhere.

Guarantees: both give the same bytes.
"""
