"""Trainings that decide which grids KAN heads start with."""
