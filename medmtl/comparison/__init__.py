"""Rows of a table from cells of training: methods, weights and networks over seeds and learning rates."""
