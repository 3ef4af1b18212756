"""Explanations that a person can follow."""
