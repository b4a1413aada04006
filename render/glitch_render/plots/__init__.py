"""Plots of what agents see, learn and do."""
