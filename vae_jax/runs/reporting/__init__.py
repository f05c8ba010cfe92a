"""Reports of runs: numbers with their names, figures, pages."""
