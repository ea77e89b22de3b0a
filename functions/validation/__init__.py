"""Check, repair and place values in slots by the contract; knows no files."""
