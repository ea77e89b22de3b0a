"""Read files of publishers into batches of text; knows no Cloud Storage."""
