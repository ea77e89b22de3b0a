"""Write the pages of docs/ that code is the source of."""
