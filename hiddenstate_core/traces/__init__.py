"""Traces: every recorded quantity at every step, in a Zarr store."""
