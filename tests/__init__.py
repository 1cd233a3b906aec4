"""Tests of hiddenstate."""
