"""Rasters on the token × layer lattice and what is measured on them."""
