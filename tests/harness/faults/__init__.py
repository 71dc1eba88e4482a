"""Tests of the fault proxy, and of the module that drives it."""
