"""What was found, as tables, figures, goals, plots and a page; and how runs are interleaved."""
