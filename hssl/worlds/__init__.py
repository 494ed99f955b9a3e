"""Processes that make data whose truth is known."""
