"""Sorting, ranking, searching and counting."""
