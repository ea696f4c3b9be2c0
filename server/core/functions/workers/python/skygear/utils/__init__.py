"""Helpers for functions."""
