"""Tests of the answers read off a trace."""
