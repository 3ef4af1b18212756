"""Joining and splitting tensors."""
