"""Numba loops over plain arrays; importing this package alone loads nothing, its modules load numba."""
