"""Tests of recording and reading traces."""
