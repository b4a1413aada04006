"""Sweeps: learners × settings × seeds × pictures, each trained and measured."""
