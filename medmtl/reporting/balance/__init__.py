"""Who moves what, as figures: pure functions from a run's rows to arrays, then the drawing."""
