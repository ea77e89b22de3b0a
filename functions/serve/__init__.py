"""The function `serve`: pages, an API and exports of `reports`, and the pipeline's health.

It selects what reports declare and computes nothing. Filters become query parameters, never SQL.
"""
