"""Run the functions as processes or in this process."""
