"""A scheduler run on a workload in simulated time, with its metrics and comparisons."""
