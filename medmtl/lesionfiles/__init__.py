"""Lesion-level evaluation of files: candidates and truth as others write them, and the results as files and pictures.

Nothing here imports a network, torch or MONAI, and nothing here scores: files become the tables and arrays of
:mod:`medmtl.evaluation`, and its results become files again.
"""
