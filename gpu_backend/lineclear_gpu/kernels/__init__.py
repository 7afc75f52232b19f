"""Kernels that move KV: Triton on a GPU, torch anywhere else.

Guarantees: both ways do the same to every byte. They know nothing about who holds a block.
"""
